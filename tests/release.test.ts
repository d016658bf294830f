import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  apiFaults,
  changelogFaults,
  formatFaults,
  releaseBefore,
  treeFaults,
  versionFaults,
} from '../scripts/release-faults.mjs'

it('everything in this tree has one version', () => {
  expect(versionFaults(fileURLToPath(new URL('..', import.meta.url)))).toEqual([])
})

describe('a release', () => {
  let root: string
  const git = (...argv: string[]): void => {
    const who = ['-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'commit.gpgsign=false']
    execFileSync('git', [...who, ...argv], { cwd: root, stdio: 'ignore' })
  }
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const commit = (): void => {
    git('add', '--all')
    git('commit', '--quiet', '--allow-empty', '--message', 'x')
  }
  const manifest = (name: string, version: string, dependencies: object = {}): string =>
    JSON.stringify({ name, version, dependencies, ...(name === 'all' && { workspaces: ['a', 'b'] }) })

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kv-release-'))
    git('init', '--quiet')
    put('package.json', manifest('all', '1.1.0'))
    put('package-lock.json', '{"version":"1.1.0"}')
    put('a/package.json', manifest('a', '1.1.0'))
    put('b/package.json', manifest('b', '1.1.0', { a: '1.1.0', other: '3.0.0' }))
    put('packaging/helm/quorumkv/Chart.yaml', 'version: 1.1.0\nappVersion: 1.1.0\n')
    put('packaging/docker/Dockerfile', 'LABEL org.opencontainers.image.version="1.1.0"\n')
    put('packaging/compose.yaml', 'image: quorumkv:1.1.0\n')
    put(
      'CHANGELOG.md',
      '# Changelog\n\n## Unreleased\n\n## 1.1.0 (2026-11-22)\n\n- More.\n\n## 1.0.0 (2026-01-01)\n\n- First.\n',
    )
    put('tests/golden/log-v1/a.golden', '00\n')
    put('tests/data/formats/level-1.json.gz', 'x')
    put('tests/e2e/public-api/client.txt', 'get\n')
    commit()
  })
  afterEach(() => rmSync(root, { recursive: true }))

  const allFaults = (): string[] => [
    ...treeFaults(root),
    ...versionFaults(root),
    ...changelogFaults(root, '1.1.0'),
    ...apiFaults(root, '1.1.0'),
    ...formatFaults(root, '1.1.0'),
  ]

  it('may be made where all holds, also as the first', () => {
    expect(releaseBefore(root, '1.1.0')).toBeUndefined()
    expect(allFaults()).toEqual([])
    git('tag', 'v1.0.0')
    git('tag', 'v1.1.0')
    git('tag', 'vacation')
    expect(releaseBefore(root, '1.1.0')).toBe('v1.0.0')
    expect(allFaults()).toEqual([])
  })

  it('is of what is committed', () => {
    put('a/new.ts', '')
    expect(treeFaults(root)).toEqual(['not committed: ?? a/new.ts'])
  })

  it.each([
    ['b/package.json', manifest('b', '1.0.0'), 'b/package.json: version 1.0.0'],
    ['b/package.json', manifest('b', '1.1.0', { a: '1.0.0' }), 'needs a 1.0.0'],
    ['package-lock.json', '{"version":"1.0.0"}', 'package-lock.json: version 1.0.0'],
    ['packaging/helm/quorumkv/Chart.yaml', 'version: 1.1.0\nappVersion: 1.0.0\n', 'no "appVersion: 1.1.0"'],
    ['packaging/docker/Dockerfile', '', 'Dockerfile: no'],
    ['packaging/compose.yaml', 'image: quorumkv:1.0.0', 'compose.yaml: no'],
  ])('has one version: %s %s', (path, text, fault) => {
    put(path, text)
    expect(versionFaults(root).join()).toContain(fault)
  })

  it.each([
    ['## Unreleased\n\n- More.\n', 'no section "## 1.1.0'],
    ['## 1.1.0\n\n- More.\n', 'has no date'],
    ['## 1.1.0 (2026-11-22)\n', 'says nothing of 1.1.0'],
    ['## 1.1.00 (2026-11-22)\n\n- More.\n', 'no section "## 1.1.0'],
  ])('is told of: %s', (text, fault) => {
    put('CHANGELOG.md', text)
    expect(changelogFaults(root, '1.1.0').join()).toContain(fault)
  })

  it('announces a change of what is public', () => {
    git('tag', 'v1.0.0')
    put('tests/e2e/public-api/client.txt', 'get\nput\n')
    commit()
    expect(apiFaults(root, '1.1.0').join()).toContain('client.txt: changed since v1.0.0')
    put('CHANGELOG.md', '## 1.1.0 (2026-11-22)\n\n- API: `put`.\n\n## 1.0.0 (2026-01-01)\n')
    expect(apiFaults(root, '1.1.0')).toEqual([])
    put('CHANGELOG.md', '## 1.1.0 (2026-11-22)\n\n- More.\n\n## 1.0.0 (2026-01-01)\n\n- API: `put`.\n')
    expect(apiFaults(root, '1.1.0')).toHaveLength(1)
  })

  it('changes and removes no golden file of an earlier one, and may add some', () => {
    git('tag', 'v1.0.0')
    put('tests/golden/log-v2/a.golden', '01\n')
    put('tests/golden/README.md', 'more')
    commit()
    expect(formatFaults(root, '1.1.0')).toEqual([])
    put('tests/golden/log-v1/a.golden', '01\n')
    rmSync(join(root, 'tests/data/formats/level-1.json.gz'))
    put('tests/data/formats/level-2.json.gz', 'x')
    commit()
    expect(formatFaults(root, '1.1.0')).toEqual([
      'tests/golden/log-v1/a.golden: changed since v1.0.0',
      'tests/data/formats/level-1.json.gz: removed since v1.0.0',
    ])
  })

  it('loses no field and no method of an earlier one', () => {
    const shapes = 'tests/golden/schema-v1/shapes.json'
    const request = { 1: 'bytes key', 2: 'uint64 version' }
    put(shapes, JSON.stringify({ 'kv.v1.GetRequest': request, 'kv.v1.Kv': { Get: 'GetRequest' } }))
    commit()
    git('tag', 'v1.0.0')
    put(
      shapes,
      JSON.stringify({ 'kv.v1.GetRequest': { ...request, 3: 'bool fast' }, 'kv.v1.Kv': { Get: 'GetRequest' } }),
    )
    commit()
    expect(formatFaults(root, '1.1.0')).toEqual([])
    put(shapes, JSON.stringify({ 'kv.v1.GetRequest': { 1: 'bytes key', 2: 'uint32 version' } }))
    commit()
    expect(formatFaults(root, '1.1.0')).toEqual([
      `${shapes}: kv.v1.GetRequest had "2: uint64 version" in v1.0.0`,
      `${shapes}: kv.v1.Kv had "Get: GetRequest" in v1.0.0`,
    ])
  })
})
