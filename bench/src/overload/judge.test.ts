import type { Interval, PhaseReport } from '@quorumkv/cli/bench'
import { expect, test } from 'vitest'
import { phaseReport } from '../reports.test-support.js'
import { ErrorClock } from './error-clock.js'
import type { FloodReport } from './flood.js'
import { type FloodedPhase, judgeOverload, type OverloadFacts, recoveredAfter } from './judge.js'

/** An open loop whose operations took 10 times as long from when they were due as from their start: those count. */
function measured(us: number, byCode: Readonly<Record<string, number>> = {}): PhaseReport {
  const report = phaseReport({ operations: 100, kinds: { read: { operations: 100, us: us * 10 } } })
  const { latency: service } = phaseReport({ operations: 100, kinds: { read: { operations: 100, us } } })
  const count = Object.values(byCode).reduce((sum, each) => sum + each, 0)
  return {
    ...report,
    open: { due: 100, notStarted: 0, backlogMost: 0, service },
    errors: { count, byCode, examples: [] },
  }
}

function flood(done: number, change: Partial<FloodReport> = {}): FloodReport {
  const none = { refusedHere: 0, refusedByNode: 0, notStarted: 0, failed: {}, slowestErrorMs: 0, intervals: [] }
  return { seconds: 1, due: done, done, ...none, cpuSeconds: 1, ...change }
}

function piece(endSeconds: number, errors: number, p99Us: number): Interval {
  return { endSeconds, seconds: 1, operations: 1, errors, p50Us: 1, p99Us, maxUs: p99Us }
}

const calm: FloodedPhase = {
  flood: flood(400),
  measured: { ...measured(100), intervals: [piece(1, 9, 5000), piece(2, 0, 5000), piece(3, 0, 1400)] },
}

const well: OverloadFacts = {
  peak: flood(1000),
  unloaded: measured(100),
  overload: { flood: flood(800, { due: 1900, refusedHere: 1000, refusedByNode: 100 }), measured: measured(500) },
  after: calm,
  samples: Array.from({ length: 30 }, (_, i) => ({ seconds: i, residentBytes: 1e9 + (i % 3) * 1e6, fileBytes: 0 })),
  slowestErrorMs: 1999,
  deadlineMs: 2000,
  overloadSeconds: 1,
}

function missed(change: Partial<OverloadFacts>): string[] {
  return judgeOverload({ ...well, ...change }).flatMap(({ what, met }) => (met ? [] : [what]))
}

/** The overload of a run that is well but for this. */
function overload(ofFlood: Partial<FloodReport>, ofMeasured: PhaseReport = measured(500)): Partial<OverloadFacts> {
  return { overload: { flood: { ...well.overload.flood, ...ofFlood }, measured: ofMeasured } }
}

function after(intervals: readonly Interval[], ofFlood: Partial<FloodReport> = {}): FloodedPhase {
  return { flood: flood(400, ofFlood), measured: { ...calm.measured, intervals } }
}

test('a cluster that refuses in time what is too much for it meets every expectation', () => {
  expect(missed({})).toEqual([])
  expect(judgeOverload(well)).toHaveLength(7)
})

const faults: [fault: string, change: Partial<OverloadFacts>, expectation: RegExp][] = [
  ['a wrong answer', overload({}, measured(500, { overloaded: 1, 'stale-value': 1 })), /wrong or stale/],
  ['a wrong answer after it', { after: { ...calm, measured: measured(1, { 'missing-value': 1 }) } }, /wrong or stale/],
  ['a timeout instead of a refusal', overload({}, measured(500, { timeout: 1 })), /not as overloaded/],
  ['a timeout of the flood', overload({ failed: { timeout: 1 } }), /not as overloaded/],
  ['a refusal behind the deadline', { slowestErrorMs: 2500 }, /longest until/],
  ['slow operations that were admitted', overload({}, measured(501)), /p99 of what was admitted/],
  ['throughput that breaks down', overload({ done: 799 }), /throughput/],
  ['throughput that takes longer', overload({ seconds: 1.2 }), /throughput/],
  [
    'memory that grows',
    { samples: well.samples.map((sample, i) => ({ ...sample, residentBytes: 1e9 + i * 1e8 })) },
    /memory of the nodes/,
  ],
  ['errors that go on', { after: after([piece(1, 0, 1), piece(2.5, 1, 1)]) }, /had ended/],
  [
    'errors of the flood that go on',
    { after: after([], { intervals: [{ endSeconds: 2.1, done: 1, failed: 1 }] }) },
    /had ended/,
  ],
  ['what was admitted and ends late', overload({}, { ...measured(500), seconds: 3.5 }), /had ended/],
  ['memory that nobody can tell', { samples: well.samples.map((s) => ({ ...s, residentBytes: 0 })) }, /memory of/],
  ['slowness that goes on', { after: after([piece(3, 0, 1501)]) }, /had ended/],
]

test.each(faults)('%s is an expectation missed', (_, change, expectation) => {
  expect(missed(change)).toContainEqual(expect.stringMatching(expectation))
})

test('recovery is counted up to the last error, and up to what was slow before all was well', () => {
  const intervals = [piece(1, 1, 1), piece(2, 0, 1), piece(3, 0, 900), piece(4, 0, 1)]
  expect(recoveredAfter(after(intervals), 500)).toBe(3)
  expect(recoveredAfter(after([piece(1, 0, 1)]), 500)).toBe(0)
})

test('what is slow again long after all was well is not of the overload, an error is', () => {
  const calmAgain = [1, 2, 3, 4, 5].map((end) => piece(end, 0, end === 1 ? 900 : 1))
  expect(recoveredAfter(after([...calmAgain, piece(6, 0, 900)]), 500)).toBe(1)
  expect(recoveredAfter(after([...calmAgain, piece(6, 1, 1)]), 500)).toBe(6)
  const refusedIn = (...ends: number[]): FloodedPhase =>
    after([], {
      intervals: [1, 2, 3, 4, 5, 6].map((end) => ({ endSeconds: end, done: 1, failed: ends.includes(end) ? 1 : 0 })),
    })
  expect(recoveredAfter(refusedIn(1, 3, 6), 500)).toBe(6)
  expect(recoveredAfter(refusedIn(1, 2, 6), 500)).toBe(2)
})

test('the slowest failure is told, from its start, and once', async () => {
  const clock = new ErrorClock({
    name: 'QuorumKV',
    reads: 'fresh',
    describe: () => Promise.resolve({}),
    connect: () =>
      Promise.resolve({
        read: async () => {
          await new Promise((resolve) => setTimeout(resolve, 30))
          throw new Error('overloaded')
        },
        write: () => Promise.resolve('done'),
        close: () => Promise.resolve(),
      }),
  })
  const client = await clock.connect(new AbortController().signal)
  expect(await client.write('key', Buffer.alloc(1))).toBe('done')
  expect(clock.takeSlowestMs()).toBe(0)
  await expect(client.read('key')).rejects.toThrow('overloaded')
  expect(clock.takeSlowestMs()).toBeGreaterThan(25)
  expect(clock.takeSlowestMs()).toBe(0)
})

test('what nobody can tell is called unknown', () => {
  const unknown = well.samples.map((sample) => ({ ...sample, residentBytes: 0 }))
  expect(judgeOverload({ ...well, samples: unknown })).toContainEqual(expect.objectContaining({ found: 'unknown' }))
})
