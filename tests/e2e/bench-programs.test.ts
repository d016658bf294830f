import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { eventually, longForm, makeTemporaryDirectory } from '../fixtures.js'

const program = fileURLToPath(new URL('../../bench/dist/main.js', import.meta.url))

/** The processes of nodes that keep their data below a directory. */
function nodesBelow(directory: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`--data-dir\0${directory}/`)
    } catch (error) {
      // It has ended meanwhile.
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code!)) return false
      throw error
    }
  })
}

interface Ended {
  readonly status: number
  readonly output: string
  readonly diagnostics: string
}

/** Runs one of the benchmarks to its end. */
async function bench(...args: string[]): Promise<Ended> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, ...args])
    return { status: 0, output: stdout, diagnostics: stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string }
    if (typeof code !== 'number') throw error
    return { status: code, output: stdout, diagnostics: stderr }
  }
}

const quick = ['--json', '--seconds', '0.1', '--warm-up-seconds', '0', '--rounds', '1']

it.runIf(longForm)(
  'the published suites run on real nodes, find all that they read right, and leave nothing behind',
  async () => {
    const directory = makeTemporaryDirectory()
    // One operation at a time: on a busy machine a tenth of a second may not be enough for the first of 1 MiB.
    const one = ['--seconds', '0.5', '--fsync', 'never']
    const { status, output, diagnostics } = await bench('model', ...quick, ...one, '--data-dir', directory)
    expect(status, diagnostics).toBe(0)
    const report = JSON.parse(output) as {
      ok: boolean
      results: { errors: number; opsPerSecond: { median: number } }[]
    }
    expect(report.ok).toBe(true)
    expect(report.results).toHaveLength(17)
    for (const { errors, opsPerSecond } of report.results) {
      expect(errors).toBe(0)
      expect(opsPerSecond.median).toBeGreaterThan(0)
    }
    expect(readdirSync(directory)).toEqual([])
  },
)

it('the store alone among the peers needs no program of others', async () => {
  const small = ['--workloads', 'mixed', '--in-flight', '1,16', '--keys', '200', '--data-dir', makeTemporaryDirectory()]
  const { status, output, diagnostics } = await bench('peers', '--peers', 'quorumkv', ...quick, ...small)
  expect(status, diagnostics).toBe(0)
  const { phases } = JSON.parse(output) as { phases: { inFlight: number; rows: { contestant: string }[] }[] }
  expect(phases.map(({ inFlight, rows }) => [inFlight, rows.map((row) => row.contestant)])).toEqual([
    [1, ['quorumkv']],
    [16, ['quorumkv']],
  ])
})

it.runIf(longForm)('memory and files are watched while the same keys are written over and over', async () => {
  const small = ['--seconds', '3', '--keys', '100', '--in-flight', '8', '--data-dir', makeTemporaryDirectory()]
  const { output, diagnostics } = await bench('overwrite', '--json', ...small)
  const report = JSON.parse(output) as {
    phase: { errors: { count: number } }
    samples: { residentBytes: number; fileBytes: number }[]
    expectations: { what: string }[]
  }
  expect(report.phase.errors.count, diagnostics).toBe(0)
  expect(report.samples.length).toBeGreaterThanOrEqual(3)
  for (const { fileBytes } of report.samples) expect(fileBytes).toBeGreaterThan(0)
  expect(report.expectations).toHaveLength(3)
})

it.runIf(longForm)('more than a cluster can do is refused, and never answered wrongly', async () => {
  const small = ['--seconds', '4', '--base-seconds', '1', '--keys', '200', '--data-dir', makeTemporaryDirectory()]
  // Whether it is fast enough depends on what else the machine does; whether it is right does not.
  const { output, diagnostics } = await bench('overload', '--json', '--max-in-flight', '8', '--factor', '4', ...small)
  const { expectations } = JSON.parse(output) as { expectations: { what: string; met: boolean; found: string }[] }
  expect(expectations, diagnostics).toHaveLength(7)
  expect(expectations[0]).toMatchObject({ what: 'wrong or stale answers', met: true, found: '0' })
})

it('a second Ctrl-C ends a benchmark at once, with its nodes and their data', async () => {
  const directory = makeTemporaryDirectory()
  const child = spawn(process.execPath, [program, 'cluster', '--data-dir', directory], { stdio: 'pipe' })
  const started = new Promise<void>((resolve) => {
    child.stderr.on('data', (bytes: Buffer) => bytes.includes('load') && resolve())
  })
  const ended = once(child, 'exit')
  await Promise.race([started, ended])
  const processes = nodesBelow(directory)
  expect(processes).toHaveLength(3)
  child.kill('SIGINT')
  child.kill('SIGTERM')
  const [status] = await ended
  expect([130, 143]).toContain(status)
  await eventually('no node is left', () => nodesBelow(directory).length === 0)
  expect(readdirSync(directory)).toEqual([])
})

it('a wrong command line is told apart from a benchmark that failed', async () => {
  expect(await bench('overload', '--factor', '1')).toMatchObject({ status: 2, output: '' })
  expect(await bench('peers', '--peers', 'memcached')).toMatchObject({ status: 2 })
  const { status, diagnostics } = await bench('report', '--history', program)
  expect(status).toBe(1)
  expect(diagnostics).toMatch(/^bench: .*main\.js, line 1 is no JSON/m)
})
