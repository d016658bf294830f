import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, test } from 'vitest'
import { Judge } from './judge.js'
import { keptCases } from './kept.js'
import { mutate } from './mutate.js'
import type { OpenTarget, Target, Verdict } from './target.js'
import { targets } from './targets/index.js'
import { openSessions } from './targets/session.js'

/** A target with a fault in it, from its 20th case on. */
function faulty(run: (turn: number) => Verdict | Promise<Verdict>, more: Partial<OpenTarget> = {}): Target {
  return {
    name: 'faulty',
    share: 1,
    async open() {
      let turn = 0
      return { make: (random) => random.bytes(8), run: () => run(++turn), ...more }
    },
  }
}

async function faultsOf(target: Target, cases: number): Promise<string[]> {
  await using judge = new Judge()
  const { failures } = await judge.run(target, { seed: 'planted', cases })
  return failures.map(({ what }) => what)
}

test('a target without a fault is told of none', async () => {
  expect(
    await faultsOf(
      faulty(() => 'refused'),
      2_000,
    ),
  ).toEqual([])
})

test('an error that was not promised is a fault, and told with the case and its bytes', async () => {
  await using judge = new Judge()
  const target = faulty((turn) => {
    if (turn === 20) throw new TypeError('undefined is not a function')
    return 'taken'
  })
  const { failures, cases } = await judge.run(target, { seed: 'planted', cases: 50 })
  expect(cases).toBe(50)
  expect(failures).toHaveLength(1)
  expect(failures[0]).toMatchObject({ index: 19, target: 'faulty', what: expect.stringContaining('not a function') })
  expect(failures[0]!.input).toHaveLength(8)
})

test('an error that nobody catches is a fault, thrown or rejected', async () => {
  const thrown = faulty((turn) => {
    if (turn === 20) setImmediate(() => expect.unreachable('thrown later'))
    return 'taken'
  })
  expect(await faultsOf(thrown, 50)).toEqual([expect.stringMatching(/nobody caught .*thrown later/)])
  const rejected = faulty((turn) => {
    if (turn === 20) void Promise.reject(new Error('rejected'))
    return 'taken'
  })
  expect(await faultsOf(rejected, 50)).toEqual([expect.stringMatching(/nobody caught .*rejected/)])
})

test('work out of proportion is a fault, and a pause that does not come again is none', async () => {
  const busy = (ms: number): Verdict => {
    // Of the processor, which others may have for themselves a while.
    const before = process.cpuUsage()
    for (let worked = 0; worked < ms * 1_000; ) {
      const { user, system } = process.cpuUsage(before)
      worked = user + system
    }
    return 'taken'
  }
  expect(
    await faultsOf(
      faulty((turn) => busy(turn >= 20 ? 260 : 0)),
      20,
    ),
  ).toEqual([expect.stringContaining('three times')])
  expect(
    await faultsOf(
      faulty((turn) => busy(turn === 20 ? 260 : 0)),
      20,
    ),
  ).toEqual([])
})

test('memory that a length asks for, and the input does not explain, is a fault', async () => {
  const held: Buffer[] = []
  const target = faulty((turn) => {
    if (turn === 20) held.push(Buffer.alloc(67_108_864))
    return 'taken'
  })
  expect(await faultsOf(target, 50)).toEqual([expect.stringMatching(/^held \d{8} bytes, for an input of 8$/)])
})

test('memory that a case takes and lets go is a fault where it takes it each time, and else none', async () => {
  const taking = (from: number, to: number): Target =>
    faulty((turn) => {
      if (turn >= from && turn <= to) Buffer.alloc(67_108_864)
      return 'taken'
    })
  expect(await faultsOf(taking(20, 100), 20)).toEqual([expect.stringMatching(/^held \d{8} bytes, for an input of 8$/)])
  expect(await faultsOf(taking(20, 20), 50)).toEqual([])
})

test('what grows with every case is a fault', async () => {
  const kept: string[][] = []
  const target = faulty((turn) => {
    kept.push(Array.from({ length: 700 }, (_, i) => `${turn} ${i}`))
    return 'taken'
  })
  expect(await faultsOf(target, 6_000)).toEqual([expect.stringMatching(/^the heap has grown/)])
})

test('what is stored and not told of is a fault, also where it replaces an honest record', async () => {
  const planted: Target = {
    name: 'session',
    share: 1,
    open: () =>
      openSessions(async ({ core }) => {
        const options = { consistency: 'quorum' as const, deadlineMs: performance.now() + 5_000 }
        await core.put(Buffer.from('honest 3'), Buffer.from('another value'), options)
      }),
  }
  const faults = await faultsOf(planted, 20)
  expect(faults).toContainEqual(expect.stringContaining('something is stored, and no answer says so'))
  expect(faults).toContainEqual(expect.stringContaining('the record honest 3 has changed'))
})

test('a corpus stays what it is, so that a case is the same whichever were made before it', () => {
  const corpus = ['{"a": [1, 2]}', 'kv://localhost:1'].map((text) => Buffer.from(text))
  const before = corpus.map((bytes) => bytes.toString())
  for (let i = 0; i < 500; i++) mutate(new SimRandom(`corpus ${i}`), corpus)
  expect(corpus.map((bytes) => bytes.toString())).toEqual(before)
})

test.each(keptCases)('kept: $target, where $was', async ({ target: name, hex }) => {
  const target = targets.find((one) => one.name === name)
  await using judge = new Judge()
  expect(await judge.one(target!, Buffer.from(hex, 'hex'))).toBeUndefined()
})
