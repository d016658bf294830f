import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { FakeClient, FakeIo, fault } from '../fakes.test-support.js'
import { run } from '../program.js'
import type { BenchReport } from './report.js'
import { csvColumns } from './report-csv.js'

const directory = mkdtempSync(join(tmpdir(), 'kv-bench-test-'))
afterAll(() => rmSync(directory, { recursive: true }))

interface Ran {
  readonly status: number
  readonly out: string
  readonly err: string
}

/** One operation at a time, as the fake cluster wants it; short, unless told otherwise. */
const small = ['--keys', '10', '--in-flight', '1', '--duration', '50ms', '--warm-up', '0']

async function bench(args: readonly string[], client = new FakeClient(), io = new FakeIo()): Promise<Ran> {
  const status = await run(['bench', ...args], io, () => client)
  return { status, out: io.stdout.text, err: io.stderr.text }
}

describe('kv bench', () => {
  it.each([
    ['--workload', ['--workload', 'ycsb-g']],
    ['--workload', ['--workload', '60/60']],
    ['--workload', ['--workload', 'mixed,,ycsb-a']],
    ['--distribution', ['--distribution', 'normal']],
    ['--keys', ['--keys', '0']],
    ['--keys', ['--keys', '-5']],
    ['--keys', ['--keys', '1000000001']],
    ['--value-size', ['--value-size', '15B']],
    ['--value-size', ['--value-size', '1025KiB']],
    ['--value-size', ['--value-size', 'big']],
    ['--clients', ['--clients', '0']],
    ['--in-flight', ['--in-flight', '0']],
    ['--in-flight', ['--in-flight', '1,64,-1']],
    ['--in-flight', ['--in-flight', '16384', '--clients', '2']],
    ['--rate', ['--rate', '0']],
    ['--rate', ['--rate', '-1']],
    ['--rate', ['--rate', 'fast']],
    ['--arrivals', ['--arrivals', 'poisson']],
    ['--arrivals', ['--arrivals', 'late', '--rate', '5']],
    ['--duration', ['--duration', '0']],
    ['--duration', ['--duration', '10']],
    ['--duration', ['--duration', '25h']],
    ['--warm-up', ['--warm-up', '-1s']],
    ['--runs', ['--runs', '0']],
  ])('refuses a wrong %s by name, with status 2, and sends nothing: %j', async (field, args) => {
    const client = new FakeClient()
    const { status, out, err } = await bench([...args, '--json'], client)
    expect(status).toBe(2)
    const { error } = JSON.parse(err) as { error: { code: string; message: string } }
    expect(error.code).toBe('invalid-argument')
    expect(error.message).toContain(field)
    expect(out).toBe('')
    expect(client.puts).toEqual([])
  })

  it('loads, measures, checks and tells, in JSON', async () => {
    const client = new FakeClient()
    const { status, out } = await bench([...small, '--workload', 'mixed,read-only', '--runs', '2', '--json'], client)
    expect(status).toBe(0)
    const report = JSON.parse(out) as BenchReport
    expect(report).toMatchObject({ tool: 'kv bench', formatVersion: 1, ok: true, interrupted: false })
    expect(report.target).toMatchObject({ name: 'QuorumKV', settings: { nodes: '3', consistency: 'quorum' } })
    expect(report.data).toEqual({ keys: 10, keyBytes: 16, valueBytes: 100, verified: true, seed: '1' })
    expect(report.phases.map(({ name }) => name)).toEqual(['load', 'mixed', 'read-only', 'mixed', 'read-only'])
    expect(report.phases.map(({ run }) => run)).toEqual([undefined, 1, 1, 2, 2])
    expect(report.phases[0]).toMatchObject({ operations: 10 })
    expect(client.data.size).toBe(10)
    expect(client.closed).toBe(true)
  })

  it('asks as it was told to: consistency, and time for each operation', async () => {
    const client = new FakeClient()
    await bench([...small, '--workload', 'write-only', '--consistency', 'one', '--timeout', '2s'], client)
    expect(client.puts[0]?.options).toEqual({ consistency: 'one', timeoutMs: 2000 })
  })

  it('with --no-load finds the keys of an earlier run, and says so where there are none', async () => {
    const client = new FakeClient()
    const args = [...small, '--workload', 'read-only', '--no-load']
    const missing = await bench(args, client)
    expect(missing).toMatchObject({ status: 1 })
    expect(missing.out).toContain('missing-value')
    await bench([...small, '--workload', 'read-only'], client)
    expect(await bench(args, client)).toMatchObject({ status: 0 })
  })

  it('an open loop is told with what was due', async () => {
    const { status, out } = await bench([...small, '--workload', 'mixed', '--rate', '1000', '--arrivals', 'poisson'])
    expect(status).toBe(0)
    expect(out).toContain('mixed, uniform, open, 1,000/s (poisson)')
    expect(out).toContain('from the start: read')
  })

  it('a wrong value fails the run, and the report shows it', async () => {
    const client = new FakeClient()
    const right = client.getBytes.bind(client)
    client.getBytes = async () => await right('bench:0000000003')
    const { status, out } = await bench([...small, '--workload', 'read-only'], client)
    expect(status).toBe(1)
    expect(out).toMatch(/FAILED: read-only: [\d,]+ wrong-value; for example: .* has the value of bench:0000000003/)
  })

  it('a cluster that is not there is told as to every command', async () => {
    const client = new FakeClient()
    client.fault = fault('unavailable')
    client.reached = false
    const { status, err } = await bench(small, client)
    expect(status).toBe(1)
    expect(err).toContain('no node answers at 127.0.0.1:50051')
  })

  it('writes the files that were asked for', async () => {
    const [csv, html] = [join(directory, 'figures.csv'), join(directory, 'report.html')]
    expect(await bench([...small, '--csv', csv, '--html', html])).toMatchObject({ status: 0 })
    const lines = readFileSync(csv, 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => line.split(',').length)).toEqual(Array(4).fill(csvColumns.length))
    expect(readFileSync(html, 'utf8')).toContain('QuorumKV load test')
  })

  it('says at once, and not after the measurement, that a file cannot be written', async () => {
    const client = new FakeClient()
    const { status, err } = await bench([...small, '--html', join(directory, 'no', 'such', 'r.html')], client)
    expect(status).toBe(1)
    expect(err).toContain('cannot write')
    expect(client.puts).toEqual([])
  })

  it('a second Ctrl-C does not wait for what is on its way', async () => {
    const [client, io] = [new FakeClient(), new FakeIo()]
    client.holding = true
    const running = bench(small, client, io)
    await expect.poll(() => client.puts.length, { timeout: 20_000 }).toBeGreaterThan(0)
    io.interrupt('SIGINT')
    await new Promise(setImmediate)
    expect(io.exitedWith).toBeUndefined()
    io.interrupt('SIGTERM')
    expect(io.exitedWith).toBe(143)
    client.release()
    await running
  })

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends it early, with the report of what was measured', async (signal, expected) => {
    const [client, io] = [new FakeClient(), new FakeIo()]
    const running = bench(
      ['--keys', '10', '--in-flight', '1', '--duration', '1h', '--warm-up', '0', '--json'],
      client,
      io,
    )
    const deadline = performance.now() + 20_000
    while (client.puts.length < 30 && performance.now() < deadline) await new Promise(setImmediate)
    io.interrupt(signal)
    const { status, out } = await running
    expect(status).toBe(expected)
    const { interrupted, phases } = JSON.parse(out) as BenchReport
    expect(interrupted).toBe(true)
    expect(phases.map(({ name }) => name)).toEqual(['load', 'mixed'])
    expect(phases[1]!.operations).toBeGreaterThan(10)
    expect(io.interruptHandlers).toBe(0)
  })

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s while no node answers is told, with the status of the signal', async (interrupt, expected) => {
    const io = new FakeIo()
    const client = Object.assign(new FakeClient(), {
      ready: async ({ signal }: { signal: AbortSignal }) => {
        setImmediate(() => io.interrupt(interrupt))
        await once(signal, 'abort')
        throw signal.reason
      },
    })
    const running = bench(small, client, io)
    expect(await running).toEqual({ status: expected, out: '', err: expect.stringContaining('interrupted before') })
  })

  it('shows its progress on a terminal, and nowhere else', async () => {
    const seen: string[] = []
    for (const terminal of [true, false]) {
      const client = new FakeClient()
      const io = new FakeIo({ terminal, timing: client.timing })
      const running = bench([...small.slice(0, 4), '--duration', '300ms', '--warm-up', '0'], client, io)
      while (client.puts.length < 30) await new Promise(setImmediate)
      client.timing.tick(1000)
      await running
      seen.push(io.stderr.text)
    }
    expect(seen[0]).toMatch(/mixed {2}\[#*\.*\] {2}\d+% {2}[\d,]+ operations? {2}[\d,]+\/s/)
    expect(seen[1]).toBe('')
  })
})
