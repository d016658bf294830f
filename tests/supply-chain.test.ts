import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { licenceFaults } from '../scripts/licences.mjs'
import { lockFaults, pinFaults, readManifests } from '../scripts/lock-faults.mjs'
import { type Lock, lockedPackages, productionClosure, readLockfile } from '../scripts/lockfile.mjs'
import { billOfMaterials } from '../scripts/sbom.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const lock = readLockfile(root)
const sha512 = `sha512-${'A'.repeat(86)}==`

describe('what is installed', () => {
  it('is one version of each, by its hash, from the registry', () => {
    expect(pinFaults(readManifests(root))).toEqual([])
    expect(lockFaults(lock)).toEqual([])
  })

  it('runs nothing while it is installed', () => {
    expect(readFileSync(`${root}.npmrc`, 'utf8')).toContain('ignore-scripts=true')
    const [first] = readManifests(root)
    expect(first?.manifest).toHaveProperty('allowScripts', { protobufjs: false })
  })

  it('has licences that are allowed', () => {
    expect(licenceFaults(lock)).toEqual([])
  })

  it('is in the bill of materials, with hashes', () => {
    const { bomFormat, specVersion, components, metadata } = billOfMaterials(root)
    expect({ bomFormat, specVersion, name: metadata.component.name }).toEqual({
      bomFormat: 'CycloneDX',
      specVersion: '1.5',
      name: 'quorumkv',
    })
    const refs = new Set(components.map(({ purl }) => purl))
    const shipped = lockedPackages(lock).filter(({ entry }) => entry.dev !== true && entry.devOptional !== true)
    const missing = shipped.filter(({ name, version }) => !refs.has(`pkg:npm/${name.replace('@', '%40')}@${version}`))
    expect(missing.map(({ name }) => name)).toEqual([])
    expect(components.length).toBeGreaterThan(50)
  })
})

/** A lock file with some packages, as far as these questions go. */
function locked(packages: Record<string, object>): Lock {
  return new Map(Object.entries(packages))
}

describe('what would be refused', () => {
  const good = { version: '1.0.0', license: 'MIT', integrity: sha512 }

  it('a range, a tag, an address', () => {
    for (const version of ['^1.0.0', '~1.0.0', '1.x', '*', 'latest', 'git+ssh://git@example.com/a.git', 'file:../a']) {
      const manifests = [{ path: 'package.json', manifest: { dependencies: { a: version } } }]
      expect(pinFaults(manifests), version).toHaveLength(1)
    }
    for (const version of ['1.0.0', '1.0.0-rc.1', 'npm:b@1.0.0', 'npm:@c/b@1.0.0']) {
      expect(pinFaults([{ path: 'package.json', manifest: { devDependencies: { a: version } } }]), version).toEqual([])
    }
  })

  it('no hash, a weak one, another place, a script', () => {
    const scripted = { ...good, hasInstallScript: true }
    const base = { 'node_modules/protobufjs': scripted }
    const faults = (entry: object): string[] => lockFaults(locked({ ...base, 'node_modules/a': entry }))
    expect(faults(good)).toEqual([])
    expect(faults({ ...good, integrity: undefined })).toEqual(['node_modules/a has no sha512'])
    expect(faults({ ...good, integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' })).toEqual([
      'node_modules/a has no sha512',
    ])
    expect(faults({ ...good, resolved: 'https://example.com/a.tgz' })).toEqual([
      'node_modules/a comes from https://example.com/a.tgz',
    ])
    expect(faults(scripted)).toEqual(['a would run a script when installed'])
    expect(lockFaults(locked({ 'node_modules/a': good }))).toEqual([
      'protobufjs has no script any more: take it off the list',
    ])
  })

  it.each([
    ['MIT', undefined, 0],
    ['(MIT OR GPL-3.0)', undefined, 0],
    ['(MIT AND GPL-3.0)', undefined, 1],
    ['MIT OR (Apache-2.0 AND GPL-3.0)', undefined, 0],
    ['(GPL-2.0 OR GPL-3.0) AND MIT', undefined, 1],
    ['MPL-2.0', undefined, 1],
    ['MPL-2.0', true, 0],
    ['GPL-3.0', true, 1],
    ['SEE LICENSE IN LICENSE', undefined, 1],
    [undefined, undefined, 1],
  ])('the licence %s, a tool: %s, is refused %i times', (license, dev, times) => {
    expect(licenceFaults(locked({ 'node_modules/a': { ...good, license, dev } }))).toHaveLength(times)
  })
})

it('what comes with a package is found as Node finds it: the nearest, its own, and peers that are needed', () => {
  const found = productionClosure(
    locked({
      ours: {},
      'node_modules/@quorumkv/x': { link: true, resolved: 'ours' },
      'node_modules/@quorumkv/y': { link: true, resolved: 'theirs' },
      'node_modules/a': {
        version: '1.0.0',
        dependencies: { b: '*' },
        peerDependencies: { c: '*', d: '*' },
        peerDependenciesMeta: { d: { optional: true } },
      },
      'node_modules/b': { version: '1.0.0' },
      'node_modules/a/node_modules/b': { version: '2.0.0', dependencies: { a: '*' } },
      'node_modules/c': { version: '3.0.0' },
      'node_modules/d': { version: '4.0.0' },
      'node_modules/e': { version: '5.0.0' },
    }),
    new Map([
      ['@quorumkv/x', { dependencies: { a: '1.0.0', '@quorumkv/y': '1.0.0' } }],
      ['@quorumkv/y', { dependencies: { e: '5.0.0' } }],
    ]),
    '@quorumkv/x',
  )
  expect(found.map(({ place }) => place)).toEqual([
    'node_modules/a',
    'node_modules/a/node_modules/b',
    'node_modules/c',
    'node_modules/e',
  ])
})
