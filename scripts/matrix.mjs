// Unit tests and a few with real processes on every release line of Node.js that is supported: `npm run test:matrix -- [LINE …]
// [PATH …] [--unit]`; a path narrows the unit tests down to what is below it. The runtimes come from the npm registry, where each is a package of one program that runs nothing when it is installed;
// they are kept outside the tree, in $XDG_CACHE_HOME/quorumkv or ~/.cache/quorumkv.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const lines = { 20: '20.20.2', 22: '22.23.3', 24: '24.21.0' }
const processes = ['tests/e2e/single-node.test.ts', 'tests/e2e/three-nodes.test.ts', 'tests/e2e/stop.test.ts']
const root = fileURLToPath(new URL('..', import.meta.url))
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'quorumkv')

const given = process.argv.slice(2)
const paths = given.filter((word) => word.includes('/'))
const wanted = given.filter((word) => !word.startsWith('--') && !paths.includes(word))
const unknown = [
  ...wanted.filter((line) => lines[line] === undefined),
  ...given.filter((word) => /^--(?!unit$)/.test(word)),
]
if (unknown.length > 0) {
  console.error(
    `usage: npm run test:matrix -- [${Object.keys(lines).join(' | ')} …] [PATH …] [--unit]; what is ${unknown.join(', ')}?`,
  )
  process.exit(2)
}

/** The folder with `node` of this version. */
function runtime(version) {
  const name = `node-${process.platform}-${process.arch}`
  const folder = join(cache, `node-${version}`)
  const bin = join(folder, 'node_modules', name, 'bin')
  if (!existsSync(join(bin, 'node'))) {
    mkdirSync(folder, { recursive: true })
    const argv = ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', `${name}@${version}`]
    execFileSync('npm', argv, { stdio: ['ignore', 'ignore', 'inherit'] })
  }
  const told = execFileSync(join(bin, 'node'), ['--version'], { encoding: 'utf8' }).trim()
  if (told !== `v${version}`) throw new Error(`${bin}/node is ${told}, not v${version}`)
  return bin
}

/** Runs tests with that Node.js, also in every process that they start. */
function test(bin, argv) {
  const folder = mkdtempSync(join(tmpdir(), 'kv-matrix-'))
  const report = join(folder, 'report.json')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}`, NO_COLOR: '1' }
  const began = Date.now()
  const { status } = spawnSync(join(bin, 'node'), ['node_modules/vitest/vitest.mjs', 'run', ...reporters, ...argv], {
    cwd: root,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const {
    numPassedTests = 0,
    numFailedTests = 0,
    numPendingTests = 0,
  } = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : {}
  rmSync(folder, { recursive: true })
  const seconds = Math.round((Date.now() - began) / 1_000)
  return {
    ok: status === 0,
    text: `${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped, ${seconds} s`,
  }
}

const rows = []
for (const line of wanted.length > 0 ? wanted : Object.keys(lines)) {
  const version = lines[line]
  const bin = runtime(version)
  rows.push({ version, what: 'unit', ...test(bin, ['--project', 'unit', ...paths]) })
  if (!given.includes('--unit')) rows.push({ version, what: 'e2e', ...test(bin, ['--project', 'e2e', ...processes]) })
}
for (const { version, what, ok, text } of rows)
  console.log(`${ok ? 'ok  ' : 'FAIL'} Node ${version.padEnd(8)} ${what.padEnd(5)} ${text}`)
process.exitCode = rows.every(({ ok }) => ok) ? 0 : 1
