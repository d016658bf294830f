import type { Interval, PhaseReport } from '@quorumkv/cli/bench'
import { expect, test } from 'vitest'
import { phaseReport } from '../reports.test-support.js'
import { ErrorClock } from './error-clock.js'
import { judgeOverload, type OverloadFacts, recoveredAfter } from './judge.js'

/** An open loop whose operations took 10 times as long from when they were due as from their start: those count. */
function open(operations: number, us: number, byCode: Readonly<Record<string, number>> = {}): PhaseReport {
  const report = phaseReport({ operations, kinds: { read: { operations, us: us * 10 } } })
  const { latency: service } = phaseReport({ operations, kinds: { read: { operations, us } } })
  const count = Object.values(byCode).reduce((sum, each) => sum + each, 0)
  return {
    ...report,
    open: { due: operations, notStarted: 0, backlogMost: 0, service },
    errors: { count, byCode, examples: [] },
  }
}

function second(endSeconds: number, errors: number, p99Us: number): Interval {
  return { endSeconds, seconds: 1, operations: 1, errors, p50Us: 1, p99Us, maxUs: p99Us }
}

const well: OverloadFacts = {
  peak: phaseReport({ operations: 1000, kinds: { read: { operations: 1000, us: 100 } } }),
  unloaded: open(100, 100),
  overload: open(900, 500, { overloaded: 5000 }),
  after: { ...open(500, 100), intervals: [second(1, 9, 5000), second(2, 0, 5000), second(3, 0, 1400)] },
  samples: Array.from({ length: 30 }, (_, i) => ({ seconds: i, residentBytes: 1e9 + (i % 3) * 1e6, fileBytes: 0 })),
  slowestErrorMs: 1999,
  deadlineMs: 2000,
  overloadSeconds: 1,
}

function missed(change: Partial<OverloadFacts>): string[] {
  return judgeOverload({ ...well, ...change }).flatMap(({ what, met }) => (met ? [] : [what]))
}

test('a cluster that refuses in time what is too much for it meets every expectation', () => {
  expect(missed({})).toEqual([])
  expect(judgeOverload(well)).toHaveLength(7)
})

const faults: [fault: string, change: Partial<OverloadFacts>, expectation: RegExp][] = [
  ['a wrong answer', { overload: open(900, 500, { overloaded: 1, 'stale-value': 1 }) }, /wrong or stale/],
  ['a wrong answer after it', { after: open(1, 1, { 'missing-value': 1 }) }, /wrong or stale/],
  ['a timeout instead of a refusal', { overload: open(900, 500, { overloaded: 1, timeout: 1 }) }, /not as overloaded/],
  ['a refusal behind the deadline', { slowestErrorMs: 2500 }, /longest until/],
  ['slow operations that were admitted', { overload: open(900, 501) }, /p99 of what was admitted/],
  ['throughput that breaks down', { overload: open(899, 500) }, /throughput/],
  [
    'memory that grows',
    { samples: well.samples.map((sample, i) => ({ ...sample, residentBytes: 1e9 + i * 1e8 })) },
    /memory of the nodes/,
  ],
  ['errors that go on', { after: { ...well.after, intervals: [second(1, 0, 1), second(2.5, 1, 1)] } }, /had ended/],
  ['what was admitted and ends late', { overload: { ...open(900, 500), seconds: 2.5 } }, /had ended/],
  ['memory that nobody can tell', { samples: well.samples.map((s) => ({ ...s, residentBytes: 0 })) }, /memory of/],
  ['slowness that goes on', { after: { ...well.after, intervals: [second(3, 0, 1501)] } }, /had ended/],
]

test.each(faults)('%s is an expectation missed', (_, change, expectation) => {
  expect(missed(change)).toContainEqual(expect.stringMatching(expectation))
})

test('recovery is counted up to the last second that was not well', () => {
  const after = { ...well.after, intervals: [second(1, 1, 1), second(2, 0, 1), second(3, 0, 900), second(4, 0, 1)] }
  expect(recoveredAfter(after, 500)).toBe(3)
  expect(recoveredAfter({ ...after, intervals: [second(1, 0, 1)] }, 500)).toBe(0)
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
