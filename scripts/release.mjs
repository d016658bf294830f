// Makes a release: `npm run release -- --dry-run`. Checks what must hold, packs every package, writes the bill of materials and checksums
// into dist-packages, and says what is left to do. Without --dry-run it also tags the commit. It publishes nothing: that is the last
// command that it prints, for somebody with the right to.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { licenceFaults } from './licences.mjs'
import { lockFaults, pinFaults, readManifests } from './lock-faults.mjs'
import { readLockfile } from './lockfile.mjs'
import {
  apiFaults,
  changelogFaults,
  formatFaults,
  isTagged,
  releaseBefore,
  tagFaults,
  treeFaults,
  versionFaults,
} from './release-faults.mjs'
import { billOfMaterials } from './sbom.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const out = join(root, 'dist-packages')
const given = process.argv.slice(2)
if (given.some((word) => word !== '--dry-run')) {
  console.error('usage: npm run release -- [--dry-run]')
  process.exit(2)
}
const dryRun = given.includes('--dry-run')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const obstacles = tagFaults(root, version, dryRun)
if (obstacles.length > 0) {
  console.error(`${obstacles.join('\n')}\nnothing was changed`)
  process.exit(1)
}

/** Tests that are stricter for a release: what messages have gained needs golden files now. */
function goldenFaults() {
  const argv = ['node_modules/vitest/vitest.mjs', 'run', '--project', 'unit', 'tests/golden.test.ts']
  const env = { ...process.env, KV_RELEASE: '1', NO_COLOR: '1' }
  const { status, stdout } = spawnSync(process.execPath, argv, { cwd: root, encoding: 'utf8', env })
  if (status === 0) return []
  const failed = stdout
    .split('\n')
    .filter((line) => line.includes('×'))
    .map((line) => line.trim())
  return [...failed, 'KV_WRITE_GOLDEN=1 npx vitest run --project unit tests/golden.test.ts adds what is new']
}

const lock = readLockfile(root)
const checks = {
  'the tree is committed': () => treeFaults(root),
  'one version everywhere': () => versionFaults(root),
  'the changelog tells of it': () => changelogFaults(root, version),
  'changes of the public API are announced': () => apiFaults(root, version),
  'formats of earlier releases are as they were': () => formatFaults(root, version),
  'golden files are complete': goldenFaults,
  'dependencies are pinned and hashed': () => [...pinFaults(readManifests(root)), ...lockFaults(lock)],
  'licences are allowed': () => licenceFaults(lock),
}

const before = releaseBefore(root, version)
console.log(`QuorumKV ${version}, after ${before ?? 'no release: this is the first'}`)
let faults = 0
for (const [name, check] of Object.entries(checks)) {
  const found = check()
  faults += found.length
  console.log(`${found.length === 0 ? 'ok  ' : 'FAIL'} ${name}`)
  for (const fault of found) console.log(`       ${fault}`)
}

const packing = spawnSync('npm', ['run', '--silent', 'pack'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
if (packing.status !== 0) {
  console.log(`FAIL packages are made\n${faults + 1} faults: not a release`)
  process.exit(1)
}
writeFileSync(join(out, `quorumkv-${version}.cdx.json`), `${JSON.stringify(billOfMaterials(root), undefined, 2)}\n`)
const files = readdirSync(out)
  .filter((name) => /\.(tgz|cdx\.json)$/.test(name))
  .sort()
const sums = files.map(
  (name) =>
    `${createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex')}  ${name}`,
)
writeFileSync(join(out, 'SHA256SUMS'), `${sums.join('\n')}\n`)
console.log(`${out}:\n${sums.join('\n')}`)

if (faults > 0) {
  console.log(`${faults} faults: not a release`)
  process.exit(1)
}
const tag = `v${version}`
if (!dryRun && !isTagged(root, version)) {
  const argv = ['tag', '--annotate', '--message', `QuorumKV ${version}`, tag]
  if (spawnSync('git', argv, { cwd: root, stdio: 'inherit' }).status !== 0) {
    console.error(`git made no tag ${tag}, for the reason above; the files in ${out} are good`)
    process.exit(1)
  }
}
console.log(`left to do, by whoever may:
  ${dryRun ? `git tag --annotate --message 'QuorumKV ${version}' ${tag} && ` : ''}git push origin ${tag}
  for each in dist-packages/*.tgz; do npm publish --provenance --access public "$each"; done
  docker buildx build --platform linux/amd64,linux/arm64 --provenance=true --sbom=true -f packaging/docker/Dockerfile -t quorumkv:${version} --push .`)
