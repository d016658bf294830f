import { describe, expect, it } from 'vitest'
import { attacks } from './attacks/index.js'
import type { TallyTold, Told } from './honest/job.js'
import { faults, type Observation, slackBytes } from './verdict.js'
import type { Holdings } from './watch.js'

const tally: TallyTold = { done: 100, failed: {}, p50Ms: 1, p99Ms: 9, maxMs: 10 }
const calm: Told = { work: tally, newcomers: tally, pages: tally }
const holdings: Holdings = {
  grpcConnections: 1,
  httpConnections: 1,
  calls: 1,
  sessions: 1,
  receivedBytes: 0,
  sockets: 6,
}
const good: Observation = {
  attack: 'one',
  outcome: { sent: 1, seconds: 1, told: {} },
  rss: { before: 100, highest: 100 + slackBytes, after: 100 },
  mayHoldBytes: 0,
  before: calm,
  during: calm,
  after: calm,
  holdings: { before: holdings, after: holdings },
  lines: 0,
  cpuSeconds: 1,
}

const failed = (code: string): Told => ({ ...calm, work: { ...tally, failed: { [code]: 2 } } })

describe('the verdict', () => {
  it('is good where everything is as it was, and where honest callers were told of an overload', () => {
    expect(faults(good)).toEqual([])
    expect(faults({ ...good, during: failed('overloaded') })).toEqual([])
    expect(faults({ ...good, during: { ...calm, pages: { ...tally, failed: { ECONNRESET: 1 } } } })).toEqual([])
  })

  const bad: [string, Partial<Observation>, RegExp][] = [
    ['a dead node', { death: 'SIGKILL' }, /dead/],
    ['memory beyond the bound', { rss: { ...good.rss, highest: 101 + slackBytes } }, /MiB of memory/],
    ['an operation that failed', { during: failed('timeout') }, /2 × honest operation failed with timeout/],
    ['one that failed afterwards', { after: failed('unavailable') }, /unavailable/],
    [
      'newcomers who wait for its end',
      { outcome: { ...good.outcome, seconds: 5 }, during: { ...calm, newcomers: { ...tally, done: 0 } } },
      /nobody who came/,
    ],
    ['nothing done afterwards', { after: { ...calm, work: { ...tally, done: 0 } } }, /no honest operation/],
    [
      'a page that failed afterwards',
      { after: { ...calm, pages: { ...tally, failed: { ECONNRESET: 1 } } } },
      /page failed/,
    ],
    ['a call that is left', { holdings: { before: holdings, after: { ...holdings, calls: 2 } } }, /calls: 1 → 2/],
    ['bytes that are left', { holdings: { before: holdings, after: { ...holdings, receivedBytes: 1 } } }, /received/],
    ['a log that fills a disk', { lines: 1_000 }, /1000 lines/],
  ]
  it.each(bad)('is bad for %s', (_, change, reason) => {
    expect(faults({ ...good, ...change }).join()).toMatch(reason)
  })
})

it('no two attacks have one name, and each has a size in both forms', () => {
  expect(new Set(attacks.map(({ name }) => name)).size).toBe(attacks.length)
  for (const { name, size } of attacks) {
    expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/)
    expect(size.long, name).toBeGreaterThanOrEqual(size.short)
  }
})
