import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  apiFaults,
  changelogFaults,
  formatFaults,
  isTagged,
  releaseBefore,
  tagFaults,
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
  afterEach(() => {
    vi.unstubAllEnvs()
    rmSync(root, { recursive: true })
  })

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

  describe('is tagged', () => {
    const nobody = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null', EMAIL: '' }

    it('by somebody whom git knows, which only a release wants', () => {
      for (const [name, value] of Object.entries(nobody)) vi.stubEnv(name, value)
      git('config', 'user.useConfigOnly', 'true')
      const [fault, ...more] = tagFaults(root, '1.1.0', false)
      expect(fault).toMatch(
        /^git does not know who makes the tag v1\.1\.0; tell it: git config user\.name 'Your Name' &&/,
      )
      expect(more).toEqual([])
      expect(tagFaults(root, '1.1.0', true)).toEqual([])
      git('config', 'user.name', 'Ada')
      git('config', 'user.email', 'ada@example.com')
      expect(tagFaults(root, '1.1.0', false)).toEqual([])
    })

    it('once', () => {
      git('config', 'user.name', 'Ada')
      git('config', 'user.email', 'ada@example.com')
      expect(isTagged(root, '1.1.0')).toBeUndefined()
      git('tag', '--annotate', '--message', 'x', 'v1.1.0')
      expect(isTagged(root, '1.1.0')).toBe(true)
      expect(tagFaults(root, '1.1.0', false), 'its files can be made again').toEqual([])
      commit()
      expect(isTagged(root, '1.1.0')).toBe(false)
      for (const dryRun of [false, true])
        expect(tagFaults(root, '1.1.0', dryRun).join()).toMatch(
          /^v1\.1\.0 is the tag of another commit: raise the version/,
        )
    })

    it('in a clone', () => {
      rmSync(join(root, '.git'), { recursive: true })
      expect(tagFaults(root, '1.1.0', true).join()).toMatch(/^a release is made from a commit.*: fatal: not a git repo/)
      vi.stubEnv('PATH', '/nonexistent')
      expect(tagFaults(root, '1.1.0', true).join()).toMatch(/spawnSync git ENOENT$/)
    })
  })

  it('stops before anything else where git does not know who makes it', () => {
    const scripts = fileURLToPath(new URL('../scripts', import.meta.url))
    cpSync(scripts, join(root, 'scripts'), { recursive: true })
    const env = { PATH: process.env['PATH'], HOME: root, GIT_CONFIG_SYSTEM: '/dev/null' }
    git('config', 'user.useConfigOnly', 'true')
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'scripts/release.mjs')], {
      env,
      encoding: 'utf8',
    })
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toMatch(/^git does not know who makes the tag v1\.1\.0; .*\nnothing was changed\n$/)
    expect(existsSync(join(root, 'dist-packages'))).toBe(false)
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
