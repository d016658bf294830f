import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { eventually, makeClient, makeTemporaryDirectory, startKv, startServers } from '../fixtures.js'

interface Phase {
  readonly name: string
  readonly operations: number
  readonly seconds: number
  readonly errors: { readonly count: number; readonly examples: readonly string[] }
  readonly latency: Readonly<Record<string, { readonly operations: number; readonly p99Us: number }>>
  readonly usage: { readonly servers: readonly { readonly id: string; readonly cpuSeconds: number }[] }
  readonly open?: { readonly due: number; readonly notStarted: number }
}

/** All workloads one after the other, on a machine that runs other tests besides. */
const patienceMs = 90_000

const names =
  'load read-heavy write-heavy mixed mixed-80-20 read-only write-only ycsb-a ycsb-b ycsb-c ycsb-d ycsb-e ycsb-f'

it('kv bench runs every workload against real nodes, finds all that it reads right, and writes all its reports', async () => {
  await using cluster = await startServers(3)
  const directory = makeTemporaryDirectory()
  const [csv, html] = [join(directory, 'figures.csv'), join(directory, 'report.html')]
  const small = ['--keys', '500', '--in-flight', '4', '--duration', '150ms', '--warm-up', '50ms', '--clients', '2']
  const files = ['--csv', csv, '--html', html]
  await using bench = startKv(cluster.addresses, [
    '--json',
    '--timeout',
    '30s',
    'bench',
    '--workload',
    'all',
    ...small,
    ...files,
  ])
  await eventually('it ends', () => !bench.runs, patienceMs)
  expect(await bench.end(), bench.diagnostics + bench.output.slice(0, 2000)).toMatchObject({ status: 0 })
  const { phases, ok, interrupted } = JSON.parse(bench.output) as { phases: Phase[]; ok: boolean; interrupted: boolean }
  expect({ ok, interrupted }).toEqual({ ok: true, interrupted: false })
  expect(phases.map(({ name }) => name)).toEqual(names.split(' '))
  expect(phases[0]!.operations).toBe(500)
  for (const { operations, errors, latency, usage } of phases) {
    expect(operations).toBeGreaterThan(0)
    expect(errors).toMatchObject({ count: 0, examples: [] })
    expect(Object.values(latency).reduce((sum, kind) => sum + kind.operations, 0)).toBe(operations)
    // The nodes are processes of this machine, found by the ports that they listen on.
    if (process.platform === 'linux') expect(usage.servers).toHaveLength(3)
  }
  const rows = readFileSync(csv, 'utf8').trimEnd().split('\n')
  expect(new Set(rows.map((row) => row.split(',').length)).size).toBe(1)
  expect(rows.length).toBeGreaterThan(phases.length)
  expect(readFileSync(html, 'utf8')).not.toMatch(/<script|<link|<img|https?:|\ssrc=/i)
})

it('kv bench at a fixed rate starts what is due, and fails no operation when a node dies', async () => {
  await using cluster = await startServers(3)
  await using watcher = makeClient([cluster.addresses[0]!], { timeoutMs: 30_000 })
  const load = ['--keys', '500', '--rate', '500', '--arrivals', 'poisson', '--in-flight', '64', '--duration', '3s']
  const bench = ['--json', '--timeout', '30s', 'bench', '--workload', 'mixed', '--warm-up', '1s', ...load]
  await using running = startKv(cluster.addresses, bench)
  await eventually('the keys are loaded', async () => (await watcher.status()).storage.entries >= 500)
  await cluster.servers[2]!.kill()
  await eventually('it ends', () => !running.runs, patienceMs)
  expect(await running.end(), running.diagnostics + running.output.slice(0, 2000)).toMatchObject({ status: 0 })
  const { phases } = JSON.parse(running.output) as { phases: Phase[] }
  const { open, operations } = phases[1]!
  expect(Math.abs(open!.due - 1500)).toBeLessThan(200)
  expect(operations + open!.notStarted).toBe(open!.due)
})
