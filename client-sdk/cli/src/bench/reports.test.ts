import { decodeFromCompressedBase64 } from 'hdr-histogram-js'
import { describe, expect, it } from 'vitest'
import type { Environment } from './environment.js'
import { ErrorTally } from './error-tally.js'
import { Recorder } from './recorder.js'
import { type BenchReport, errorSummary, type PhaseReport, summaries } from './report.js'
import { csvColumns, formatCsv } from './report-csv.js'
import { formatHtml } from './report-html.js'
import { formatTable } from './report-table.js'
import type { OperationKind } from './target.js'

const environment: Environment = {
  ...{ cpu: 'CPU', cores: 2, memoryBytes: 2 ** 34, loadAverage: 0.04, os: 'Linux 6', node: 'v20', commit: 'abc' },
}

/** Latencies in microseconds, all in one interval. */
function recorded(latencies: Partial<Record<OperationKind, readonly number[]>>, seconds = 2): Recorder {
  const recorder = new Recorder(0)
  for (const [kind, values] of Object.entries(latencies)) {
    for (const us of values) recorder.record(kind as OperationKind, us / 1000)
  }
  recorder.roll(seconds * 1000, 0)
  return recorder
}

function phase(
  latencies: Partial<Record<OperationKind, readonly number[]>>,
  changes: Partial<PhaseReport> = {},
): PhaseReport {
  const recorder = recorded(latencies)
  const { operations, intervals } = recorder
  return {
    ...{
      name: 'mixed',
      mix: { read: 0.5, update: 0.5 },
      distribution: 'uniform',
      loop: { kind: 'closed' },
      clients: 1,
    },
    ...{ inFlight: 256, warmUpSeconds: 1, seconds: 2, operations, opsPerSecond: operations / 2, intervals },
    latency: summaries(recorder, 2),
    ...{ errors: { count: 0, byCode: {}, examples: [] }, staleReads: 0 },
    usage: {
      client: { id: 'client', cpuSeconds: 1.5, residentBytes: 100 * 2 ** 20 },
      servers: [{ id: 'n1', cpuSeconds: 0.7, residentBytes: 200 * 2 ** 20 }],
    },
    ...changes,
  }
}

function open(): PhaseReport {
  const service = summaries(recorded({ read: [50, 60] }), 2)
  const loop = { kind: 'open', ratePerSecond: 5000, arrivals: 'poisson' } as const
  return phase({ read: [500, 600] }, { loop, open: { due: 10, notStarted: 8, backlogMost: 4, service } })
}

function report(changes: Partial<BenchReport> = {}): BenchReport {
  return {
    ...{ tool: 'kv bench', formatVersion: 1, startedAt: '2026-01-02T03:04:05.000Z', environment },
    target: { name: 'QuorumKV', settings: { nodes: '3', 'N/R/W': '3/2/2', fsync: 'always' } },
    data: { keys: 1000, keyBytes: 16, valueBytes: 100, verified: true, seed: '1' },
    ...{ phases: [phase({ read: [100, 200], update: [300] })], interrupted: false, ok: true },
    ...changes,
  }
}

const failing = (): PhaseReport => {
  const errors = new ErrorTally()
  errors.add(Object.assign(new Error('bench:1 is <missing>'), { code: 'missing-value' }))
  return phase({ read: [1] }, { errors: errorSummary(errors) })
}

describe('a summary', () => {
  it('has the throughput and the quantiles of each kind', () => {
    const { read, update } = phase({ read: Array.from({ length: 1000 }, (_, i) => i + 1), update: [50] }).latency
    expect(read).toMatchObject({ operations: 1000, opsPerSecond: 500, minUs: 1, p50Us: 500, p95Us: 950, p99Us: 990 })
    expect(read).toMatchObject({ p999Us: 999, maxUs: 1000 })
    expect(update).toMatchObject({ operations: 1, minUs: 50, p50Us: 50, maxUs: 50 })
  })

  it('has no quantile above the maximum, whatever the buckets of the histogram', () => {
    const { update } = phase({ update: [113_179] }).latency
    expect(update).toMatchObject({ p50Us: 113_179, p999Us: 113_179, maxUs: 113_179 })
  })

  it('has a curve that rises from the least to the largest', () => {
    const { curve } = phase({ read: Array.from({ length: 1000 }, (_, i) => i + 1) }).latency.read!
    expect(curve[0]).toEqual([0, 1])
    expect(curve.at(-1)).toEqual([100, 1000])
    expect(curve.length).toBeLessThan(100)
    for (const [i, [percent, us]] of curve.entries()) {
      if (i === 0) continue
      expect(percent).toBeGreaterThan(curve[i - 1]![0])
      expect(us).toBeGreaterThanOrEqual(curve[i - 1]![1])
    }
  })

  it('has the whole histogram, as the tools of HdrHistogram read it', () => {
    const { hdr } = phase({ read: [100, 200, 200] }).latency.read!
    const { totalCount, maxValue, mean } = decodeFromCompressedBase64(hdr)
    expect({ totalCount, maxValue, mean: Math.round(mean) }).toEqual({ totalCount: 3, maxValue: 200, mean: 167 })
  })

  it('leaves out a kind that did not occur, rather than show zeros', () => {
    expect(Object.keys(phase({ read: [1] }).latency)).toEqual(['read'])
  })
})

it('intervals have the figures of their own time, and add up', () => {
  const recorder = new Recorder(0)
  recorder.record('read', 1)
  recorder.roll(1000, 2)
  recorder.roll(2000, 2)
  recorder.record('read', 3)
  recorder.record('update', 5)
  recorder.roll(2500, 3)
  expect(recorder.intervals).toEqual([
    { endSeconds: 1, seconds: 1, operations: 1, errors: 2, p50Us: 1000, p99Us: 1000, maxUs: 1000 },
    { endSeconds: 2, seconds: 1, operations: 0, errors: 0, p50Us: 0, p99Us: 0, maxUs: 0 },
    { endSeconds: 2.5, seconds: 0.5, operations: 2, errors: 1, p50Us: 3001, p99Us: 5000, maxUs: 5000 },
  ])
  expect(recorder.latencies('read').totalCount).toBe(2)
})

describe('the table', () => {
  it('says what was measured, on what, and that the loop was closed', () => {
    const text = formatTable(report())
    expect(text).toContain('machine  CPU, 2 cores, 16 GiB, Linux 6, load average 0.0 before\n')
    expect(text).toContain('QuorumKV, nodes 3, N/R/W 3/2/2, fsync always')
    expect(text).toContain('1,000 keys of 16 B, values of 100 B, reads verified, seed 1')
    expect(text).toContain('closed: an operation starts when another has ended')
    expect(text).toMatch(/mixed, uniform +256 +3 +1\.5 +0$/m)
    expect(text).toMatch(/^ {2}read +2 +1 +150 +100 +200 +200 +200 +200$/m)
    expect(text).toMatch(/mixed +2\.0 s +500000\.0 +233333\.3 +1\.5 s 100 MiB +0\.7 s 200 MiB$/m)
  })

  it('says "unknown" of servers that nobody can look at', () => {
    const { client } = phase({}).usage
    expect(formatTable(report({ phases: [phase({ read: [1] }, { usage: { client, servers: [] } })] }))).toContain(
      'unknown',
    )
  })

  it('tells errors by code and word for word', () => {
    const text = formatTable(report({ phases: [failing()], ok: false }))
    expect(text).toContain('FAILED: mixed: 1 missing-value; for example: missing-value: bench:1 is <missing>')
  })

  it('has both latencies of an open loop, and tells what never started', () => {
    const text = formatTable(report({ phases: [open()] }))
    expect(text).toContain('mixed, uniform, open, 5,000/s (poisson)')
    expect(text).toMatch(/^ {2}read .* 600$/m)
    expect(text).toMatch(/^ {2}from the start: read .* 60$/m)
    expect(text).toContain('8 of 10 operations that were due (80.0 %) never started')
  })

  it('has the spread of what was run several times', () => {
    const phases = [5, 3, 4, 10].map((opsPerSecond) => phase({}, { opsPerSecond }))
    expect(formatTable(report({ phases }))).toMatch(/mixed, uniform, 1 × 256, closed +4 +4\.5 +3 +10$/m)
    expect(formatTable(report())).not.toContain('several runs')
    // The phase that an interruption has cut short is no run like the others.
    expect(formatTable(report({ phases, interrupted: true }))).toMatch(/closed +3 +4 +3 +5$/m)
  })

  it('points out data on tmpfs, a generator at its limit, stale reads that are allowed, and an interruption', () => {
    const busy = phase({ read: [1] }, { seconds: 1.5, staleReads: 7 })
    const target = { name: 'QuorumKV', settings: { 'file system': 'tmpfs' } }
    const text = formatTable(report({ phases: [busy], target, interrupted: true }))
    for (const part of ['tmpfs, where fsync', 'a whole core', '7 reads gave', 'Interrupted'])
      expect(text).toContain(part)
    for (const part of ['tmpfs', 'whole core', 'superseded', 'Interrupted'])
      expect(formatTable(report())).not.toContain(part)
  })

  it('of a run that was over before anything was measured has the facts', () => {
    expect(formatTable(report({ phases: [], interrupted: true }))).toContain('Interrupted')
  })
})

describe('the CSV', () => {
  it('has a row for each kind in each phase, with as many cells as columns', () => {
    const lines = formatCsv(report({ phases: [phase({ read: [100, 200], update: [300] }, { run: 2 }), open()] })).split(
      '\n',
    )
    expect(lines[0]).toBe(csvColumns.join(','))
    expect(lines.slice(1, -1).map((line) => line.split(',').length)).toEqual(Array(4).fill(csvColumns.length))
    expect(lines[1]).toMatch(/^2,mixed,uniform,closed,,1,256,1000,100,2,read,start,2,1,100,150,100,200,/)
    expect(lines[3]).toMatch(/^,mixed,uniform,open,5000,1,256,1000,100,2,read,due,2,1,500,/)
    expect(lines[4]).toContain('read,start,2,1,50')
    expect(lines.at(-1)).toBe('')
  })

  it('has a row for a phase in which nothing succeeded, with its errors', () => {
    const errors = { count: 1000, byCode: { unavailable: 1000 }, examples: [] }
    const lines = formatCsv(report({ phases: [phase({}, { errors })] })).split('\n')
    expect(lines[1]!.split(',')).toHaveLength(csvColumns.length)
    const cells = lines[1]!.split(',')
    expect(cells[csvColumns.indexOf('operations')]).toBe('0')
    expect(cells[csvColumns.indexOf('phase_errors')]).toBe('1000')
  })

  it('quotes what would be taken for the end of a cell', () => {
    expect(formatCsv(report({ phases: [phase({ read: [1] }, { name: 'a "b", c' })] }))).toContain('\n,"a ""b"", c",')
  })
})

describe('the HTML', () => {
  const html = formatHtml(report({ phases: [phase({ read: [100, 200], update: [300] }), open(), failing()] }))

  it('needs nothing else: no script, no address, nothing that is loaded', () => {
    expect(html).not.toMatch(/<script|<link|<img|<iframe|https?:|url\(|@import|\ssrc=|\shref=/i)
  })

  it('escapes what comes from elsewhere', () => {
    expect(html).toContain('bench:1 is &lt;missing&gt;')
    expect(html).not.toContain('<missing>')
  })

  it('has charts whose points are numbers within the picture', () => {
    const points = [...html.matchAll(/points="([^"]*)"/g)].flatMap(([, text]) => text!.split(' '))
    expect(points.length).toBeGreaterThan(20)
    for (const point of points) {
      const [x, y] = point.split(',').map(Number)
      expect(x).toBeGreaterThanOrEqual(0)
      expect(x).toBeLessThanOrEqual(560)
      expect(y).toBeGreaterThanOrEqual(0)
      expect(y).toBeLessThanOrEqual(300)
    }
    expect(html).not.toContain('NaN')
  })

  it('opens and closes the same elements', () => {
    for (const tag of ['section', 'table', 'svg', 'div', 'p', 'tr', 'dl', 'text', 'body', 'html']) {
      const opened = html.match(new RegExp(`<${tag}[ >]`, 'g'))?.length
      expect([tag, opened]).toEqual([tag, html.match(new RegExp(`</${tag}>`, 'g'))?.length])
    }
  })

  it('has the environment and the figures', () => {
    for (const part of ['CPU, 2 cores', 'fsync always', 'mixed: 1.5 ops/s', 'never started 8'])
      expect(html).toContain(part)
  })

  it('of a phase in which nothing succeeded has no chart of nothing', () => {
    expect(formatHtml(report({ phases: [phase({})] }))).not.toContain('NaN')
  })
})
