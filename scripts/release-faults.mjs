// What must hold before a release is made (docs/compatibility.md). Each check returns lines for people; none: it holds.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readManifests } from './lock-faults.mjs'

const read = (root, path) => readFileSync(join(root, path), 'utf8')

function git(root, ...argv) {
  return execFileSync('git', argv, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
}

/** The tag of the release before: the newest `v1.2.3` behind this commit that is not of this version. Undefined: this is the first. */
export function releaseBefore(root, version) {
  const tags = git(root, 'tag', '--merged', 'HEAD', '--list', 'v*', '--sort=-v:refname').split('\n')
  return tags.find((tag) => /^v\d+\.\d+\.\d+(-[\w.]+)?$/.test(tag) && tag !== `v${version}`)
}

/** Whether this commit has the tag of the version; undefined: no commit has. */
export function isTagged(root, version) {
  const of = git(root, 'for-each-ref', '--format=%(objectname) %(*objectname)', `refs/tags/v${version}`)
  return of === '' ? undefined : of.includes(git(root, 'rev-parse', 'HEAD'))
}

/** What stands in the way of the tag, whatever is in the tree. `dryRun`: none is made. */
export function tagFaults(root, version, dryRun) {
  const { error, status, stderr } = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' })
  if (error !== undefined || status !== 0) {
    const why = error?.message ?? stderr.trim().split('\n')[0]
    return [`a release is made from a commit, in a clone of the repository; here git cannot tell of one: ${why}`]
  }
  const tagged = isTagged(root, version)
  if (tagged === false)
    return [
      `v${version} is the tag of another commit: raise the version, or check out v${version} to make its files again`,
    ]
  if (tagged || dryRun) return []
  if (spawnSync('git', ['var', 'GIT_COMMITTER_IDENT'], { cwd: root }).status === 0) return []
  const how = "git config user.name 'Your Name' && git config user.email you@example.com"
  return [`git does not know who makes the tag v${version}; tell it: ${how}`]
}

export function treeFaults(root) {
  const changed = git(root, 'status', '--porcelain')
    .split('\n')
    .filter((line) => line !== '')
  return changed.map((line) => `not committed: ${line}`)
}

/** Where the version is written down besides manifests: file, and what stands before it. */
const elsewhere = [
  ['packaging/helm/quorumkv/Chart.yaml', 'version: '],
  ['packaging/helm/quorumkv/Chart.yaml', 'appVersion: '],
  ['packaging/docker/Dockerfile', 'org.opencontainers.image.version="'],
  ['packaging/compose.yaml', 'image: quorumkv:'],
]

/** One version for everything, and one copy of it among our packages. */
export function versionFaults(root) {
  const manifests = readManifests(root)
  const { version } = manifests[0].manifest
  const ours = new Set(manifests.map(({ manifest }) => manifest.name))
  const own = manifests.flatMap(({ path, manifest }) => {
    const wrong = manifest.version === version ? [] : [`${path}: version ${manifest.version}, not ${version}`]
    const wanted = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })
    const stale = wanted.filter(([name, each]) => ours.has(name) && each !== version)
    return [...wrong, ...stale.map(([name, each]) => `${path}: needs ${name} ${each}, not ${version}`)]
  })
  const lock = JSON.parse(read(root, 'package-lock.json'))
  const locked = lock.version === version ? [] : [`package-lock.json: version ${lock.version}, not ${version}`]
  const others = elsewhere.flatMap(([path, before]) => {
    return read(root, path).includes(before + version) ? [] : [`${path}: no "${before}${version}"`]
  })
  return [...own, ...locked, ...others]
}

/** What the changelog says of a version; undefined: nothing. */
export function changesOf(root, version) {
  const sections = read(root, 'CHANGELOG.md').split(/^## /m).slice(1)
  return sections.find((section) => section.split(/[\s(]/)[0] === version)
}

export function changelogFaults(root, version) {
  const changes = changesOf(root, version)
  if (changes === undefined) return [`CHANGELOG.md has no section "## ${version} (YYYY-MM-DD)"`]
  const [heading, ...lines] = changes.split('\n')
  const faults = []
  if (!/^\S+ \(\d{4}-\d\d-\d\d\)$/.test(heading)) faults.push(`CHANGELOG.md: "## ${heading}" has no date (YYYY-MM-DD)`)
  if (!lines.some((line) => line.startsWith('- '))) faults.push(`CHANGELOG.md says nothing of ${version}`)
  return faults
}

/** Files under a path that are not as the release before left them: `M` changed, `D` removed, `A` added. */
function changedSince(root, tag, path) {
  const told = git(root, 'diff', '--no-renames', '--name-status', tag, 'HEAD', '--', path)
  return told
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'))
}

/** A change of what is public has a line "- API: …" in the changelog. */
export function apiFaults(root, version) {
  const before = releaseBefore(root, version)
  if (before === undefined) return []
  const changed = changedSince(root, before, 'tests/e2e/public-api')
  if (changed.length === 0 || /^- API: /m.test(changesOf(root, version) ?? '')) return []
  const files = changed.map(([, path]) => path).join(', ')
  return [`${files}: changed since ${before}, and CHANGELOG.md has no "- API: …" for ${version}`]
}

const shapes = 'tests/golden/schema-v1/shapes.json'

/** What a schema that was released has lost since: fields and methods are only added to it. */
function schemaFaults(root, before) {
  if (git(root, 'ls-tree', '--name-only', before, shapes).trim() === '') return []
  const released = JSON.parse(git(root, 'show', `${before}:${shapes}`))
  const now = existsSync(join(root, shapes)) ? JSON.parse(readFileSync(join(root, shapes), 'utf8')) : {}
  return Object.entries(released).flatMap(([message, fields]) =>
    Object.entries(fields)
      .filter(([number, field]) => now[message]?.[number] !== field)
      .map(([number, field]) => `${shapes}: ${message} had "${number}: ${field}" in ${before}`),
  )
}

/** What has been released is read for good: its golden files and archives stay. */
export function formatFaults(root, version) {
  const before = releaseBefore(root, version)
  const kept = ['tests/golden', 'tests/data/formats']
  const missing = kept.filter((path) => !existsSync(join(root, path))).map((path) => `${path} is not there`)
  if (before === undefined) return missing
  const touched = kept.flatMap((path) => changedSince(root, before, path))
  const released = touched.filter(([kind, path]) => kind !== 'A' && /\.(golden|gz)$/.test(path))
  return [
    ...missing,
    ...released.map(([kind, path]) => `${path}: ${kind === 'D' ? 'removed' : 'changed'} since ${before}`),
    ...schemaFaults(root, before),
  ]
}
