import { mkdtempSync, rmSync } from 'node:fs'
import { appendFile, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BenchReport } from '@quorumkv/cli/bench'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { phaseReport } from '../reports.test-support.js'
import { writeReport } from './command.js'
import { clusterRun, microRun, peersRun } from './figures.js'
import { HistoryError, type HistoryRun, historyFile, parseHistory, readHistory, recordRun } from './history.js'
import { formatHistory } from './page.js'

const environment = {
  ...{ cpu: 'AMD EPYC', cores: 2, memoryBytes: 2 ** 34, loadAverage: 0.5, os: 'Linux 6', node: 'v20.20.2' },
  commit: '0123456789ab',
}

function run(value: number, change: Partial<HistoryRun> = {}): HistoryRun {
  const figures = [{ name: 'mixed', unit: 'ops/s', better: 'higher', value, range: [value - 1, value + 1] }] as const
  const settings = { keys: '1000' }
  return {
    ...{ formatVersion: 1, startedAt: '2026-11-21T12:00:00.000Z', benchmark: 'peers', environment, settings, figures },
    ...change,
  }
}

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorumkv-history-'))
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

test('runs are added as lines, and read back as they were', async () => {
  const file = join(directory, 'new', 'runs.ndjson')
  expect(await readHistory(file)).toEqual([])
  await recordRun(run(1), file)
  await recordRun(run(2), file)
  expect(await readHistory(file)).toEqual([run(1), run(2)])
  expect((await readFile(file, 'utf8')).split('\n')).toHaveLength(3)
})

test('what is no run is refused before it is written', async () => {
  const file = join(directory, 'runs.ndjson')
  await expect(recordRun(run(Number.NaN), file)).rejects.toThrow('figures[0] is no figure')
  await expect(recordRun(run(1, { figures: [] }), file)).rejects.toThrow('it has no figures')
  expect(await readHistory(file)).toEqual([])
})

test('a line that is no run is named, with what is wrong', async () => {
  const lines = (bad: string): string => `${JSON.stringify(run(1))}\n\n${bad}\n`
  expect(() => parseHistory(lines('{"formatVersion":'))).toThrow(/^line 3 is no JSON: /)
  expect(() => parseHistory(lines('[]'))).toThrow('line 3: it is no object')
  expect(() => parseHistory(lines('{"formatVersion":2}'))).toThrow(
    'line 3: its formatVersion is 2, and only 1 is known',
  )
  const wrong: [change: Record<string, unknown>, what: string][] = [
    [{ startedAt: 'yesterday' }, 'startedAt is no time'],
    [{ benchmark: '' }, 'benchmark is no name'],
    [{ environment: { ...environment, cores: 'two' } }, 'environment is not that of a run'],
    [{ settings: { keys: 1000 } }, 'settings are no texts'],
    [{ figures: [{ ...run(1).figures[0], better: 'more' }] }, 'figures[0] is no figure'],
    [{ figures: [run(1).figures[0], { ...run(1).figures[0], range: [1] }] }, 'figures[1] is no figure'],
  ]
  for (const [change, what] of wrong) {
    expect(() => parseHistory(JSON.stringify({ ...run(1), ...change }))).toThrow(`line 1: ${what}`)
  }
  const file = join(directory, 'runs.ndjson')
  await appendFile(file, 'x\n')
  await expect(readHistory(file)).rejects.toThrow(`${file}, line 1 is no JSON`)
  await expect(readHistory(file)).rejects.toBeInstanceOf(HistoryError)
})

test('the history that is kept with the sources can be read', async () => {
  for (const { figures } of await readHistory(historyFile)) expect(figures.length).toBeGreaterThan(0)
})

test('the page needs nothing from elsewhere, and no text becomes markup', async () => {
  const bad = '<script>alert("1")</script>'
  const runs = [run(1), run(2, { settings: { keys: bad } }), run(3, { environment: { ...environment, cpu: bad } })]
  const page = formatHistory(runs)
  expect(page).not.toMatch(/<script|src=|href=|url\(|@import/)
  const file = join(directory, 'runs.ndjson')
  const out = join(directory, 'page.html')
  await recordRun(run(1), file)
  expect(await writeReport({ history: file, out })).toBe(`${out}: 1 runs of ${file}\n`)
  expect(await readFile(out, 'utf8')).toContain('History of benchmarks')
})

test('only runs with the same settings on the same machine are drawn together', () => {
  const later = { startedAt: '2026-11-22T12:00:00.000Z' }
  const together = formatHistory([run(150, later), run(100)])
  expect(together.match(/<section>/g)).toHaveLength(1)
  expect(together).toContain('+50.0 %, better')
  expect(together).toContain('<figcaption>mixed</figcaption><svg')
  for (const other of [{ settings: { keys: '2000' } }, { environment: { ...environment, cores: 4 } }]) {
    const apart = formatHistory([run(100), run(150, { ...later, ...other })])
    expect(apart.match(/<section>/g)).toHaveLength(2)
    expect(apart).not.toContain('+50.0 %')
    expect(apart).not.toContain('<svg')
  }
})

test('each figure of recorded runs of a cluster is drawn, with a point for each run and the spread of its rounds', async () => {
  const [file, out] = [join(directory, 'runs.ndjson'), join(directory, 'page.html')]
  for (const day of [1, 2, 3]) {
    const kinds = { read: { operations: 50 * day, us: 5 }, update: { operations: 50 * day, us: 7 + day } }
    const phases = [1, 2].map((run) => ({ ...phaseReport({ operations: 100 * day + run, kinds }), run }))
    const report: BenchReport = {
      ...{ tool: 'kv bench', formatVersion: 1, startedAt: `2026-11-0${day}T12:00:00.000Z` },
      environment: { ...environment, commit: `${day}`.repeat(12) },
      target: { name: 'QuorumKV', settings: { fsync: 'always' } },
      data: { keys: 1000, keyBytes: 16, valueBytes: 100, verified: true, seed: '1' },
      ...{ phases, interrupted: false, ok: true },
    }
    await recordRun(clusterRun(report, { runs: 2, seconds: 1 }), file)
  }
  expect(await writeReport({ history: file, out })).toBe(`${out}: 3 runs of ${file}\n`)
  const page = await readFile(out, 'utf8')
  expect(page.match(/<section>/g)).toHaveLength(1)
  const [{ figures }] = (await readHistory(file)) as [HistoryRun, ...HistoryRun[]]
  expect(figures.map(({ name }) => name)).toEqual([
    'mixed, uniform, 64 in flight',
    ...['read p50', 'read p99', 'update p50', 'update p99'].map((what) => `mixed, uniform, 64 in flight: ${what}`),
  ])
  for (const { name } of figures) {
    const drawing = page.split(`<figcaption>${name}</figcaption>`)[1]!.split('</figure>')[0]!
    const lines = [...drawing.matchAll(/points="([^"]*)"/g)].map(([, points]) => points!.split(' ').length)
    expect([name, lines]).toEqual([name, [3, 3, 3]])
    for (const commit of ['11111111', '22222222', '33333333']) expect(drawing).toContain(`>${commit}<`)
  }
  expect(page).toContain('301 to 302')
})

test('a figure of which less is better is worse when it grows', () => {
  const slower = (value: number): HistoryRun['figures'] => [{ name: 'read', unit: 'µs', better: 'lower', value }]
  const page = formatHistory([run(1, { figures: slower(10) }), run(1, { figures: slower(11) })])
  expect(page).toContain('+10.0 %, worse')
})

test('reports become runs whose figures have names that do not change from run to run', () => {
  const spread = { median: 2, min: 1, max: 3 }
  const row = { clientCpuUs: 1, rounds: [1, 2, 3], errors: 0, opsPerSecond: spread }
  const contestants = ['quorumkv', 'etcd'].map((name) => ({ name, durability: 'd', settings: {} }))
  const recorded = peersRun({
    ...{ benchmark: 'peers', startedAt: '2026-11-21T12:00:00.000Z', environment, fileSystem: 'ext4' },
    ...{ keys: 1000, keyBytes: 16, valueBytes: 100, rounds: 3, secondsPerRound: 5, warmUpSeconds: 1, seed: '1' },
    ...{ contestants, errorExamples: [], ok: true },
    phases: [
      {
        ...{ workload: 'mixed', inFlight: 64 },
        rows: [
          { ...row, contestant: 'quorumkv' },
          { ...row, contestant: 'etcd', ratio: spread },
        ],
      },
    ],
  })
  expect(recorded.figures.map(({ name, unit }) => `${name}, ${unit}`)).toEqual([
    'quorumkv: mixed, 64 in flight, ops/s',
    'etcd: mixed, 64 in flight, ops/s',
    'over etcd: mixed, 64 in flight, ×',
  ])
  expect(parseHistory(JSON.stringify(recorded))).toEqual([recorded])
  const result = {
    p50Ns: 12,
    p99Ns: 45,
    perSecond: 8e7,
    marginPercent: 1,
    runs: 10,
    group: 'crc',
    name: '  zlib',
  } as const
  const micro = microRun({ benchmark: 'micro', startedAt: '2026-11-21T12:00:00.000Z', environment, results: [result] })
  expect(micro.figures).toEqual([{ name: 'crc: zlib', unit: 'ns', better: 'lower', value: 12 }])
})

test('runs of a cluster are kept apart by what was asked for, and not by the version that was measured', () => {
  const settingsOf = (version: string, seconds: number) => {
    const report: BenchReport = {
      ...{ tool: 'kv bench', formatVersion: 1, startedAt: '2026-11-21T12:00:00.000Z', environment },
      target: { name: 'QuorumKV', settings: { fsync: 'always', 'kv-server': version } },
      data: { keys: 1000, keyBytes: 16, valueBytes: 100, verified: true, seed: '1' },
      phases: [phaseReport({ operations: 10, kinds: { read: { operations: 10, us: 5 } } })],
      ...{ interrupted: false, ok: true },
    }
    return clusterRun(report, { runs: 1, seconds }).settings
  }
  expect(settingsOf('0.1.0', 10)).toEqual(settingsOf('0.2.0', 10))
  expect(settingsOf('0.1.0', 10)).not.toEqual(settingsOf('0.1.0', 1))
  expect(settingsOf('0.1.0', 10)).toMatchObject({ keys: '1000', fsync: 'always' })
})
