import { expect, test } from 'vitest'
import { limits } from '../limits.js'
import { runClosedLoop } from './closed-loop.js'
import { ErrorTally } from './error-tally.js'
import { FakeClock, laneContext } from './fakes.test-support.js'
import { summaries } from './report.js'
import type { TargetClient } from './target.js'
import { Values } from './values.js'
import { Verifier } from './verifier.js'
import { LoadSource } from './workload.js'

/** A clock that moves when it is told to, a client that does `write`, and a loop that loads. */
function bench(options: {
  inFlight?: number
  durationMs?: number
  keys?: number
  signal?: AbortSignal
  clients?: number
}) {
  const { inFlight = 1, durationMs = 100, keys = 10_000, clients = 1 } = options
  const { signal = new AbortController().signal } = options
  const clock = new FakeClock()
  const errors = new ErrorTally()
  const context = laneContext(clock, new LoadSource(keys), errors)
  const run = async (write: (key: string, client: number) => Promise<unknown>): Promise<number> => {
    const made = Array.from({ length: clients }, (_, i): TargetClient => {
      return { read: () => Promise.resolve(undefined), write: (key) => write(key, i), close: () => Promise.resolve() }
    })
    const startMs = clock.now()
    const endedMs = await runClosedLoop(made, inFlight, context, { deadlineMs: startMs + durationMs, signal })
    context.recorder.roll(endedMs, errors.count)
    return endedMs - startMs
  }
  return { clock, errors, run, update: () => summaries(context.recorder, 1).update }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('as many operations as asked for are in flight, of all clients together, and never more', async () => {
  const { run, update } = bench({ inFlight: 4, clients: 2, keys: 100 })
  const [running, most] = [
    [0, 0],
    [0, 0],
  ]
  await run(async (_, client) => {
    most[client] = Math.max(most[client]!, ++running[client]!)
    await turn()
    running[client]!--
  })
  expect(most).toEqual([4, 4])
  expect(update()?.operations).toBe(100)
})

test('latencies are in microseconds, from the end of the operation before to the end of this one', async () => {
  const { clock, run, update } = bench({ keys: 2 })
  await run(async (key) => {
    clock.ms += key === 'bench:0000000000' ? 0.2 : 0.7
  })
  expect(update()).toMatchObject({ operations: 2, minUs: 200, maxUs: 700, meanUs: 450 })
})

test('no operation starts after the time, and the one that then runs counts in full', async () => {
  const { clock, run, update } = bench({ durationMs: 100 })
  let started = 0
  const elapsedMs = await run(async () => {
    clock.ms += ++started === 3 ? 5000 : 40
  })
  expect(started).toBe(3)
  expect(elapsedMs).toBeCloseTo(5080)
  expect(update()?.maxUs).toBeGreaterThanOrEqual(5_000_000)
})

test('an operation that fails is counted by its code, and is no latency', async () => {
  const { errors, run, update } = bench({ keys: 4 })
  await run(async (key) => {
    if (key.endsWith('1')) throw Object.assign(new Error('no quorum'), { code: 'unavailable' })
    if (key.endsWith('2')) throw new TypeError('a bug')
    if (key.endsWith('3')) throw 'nonsense'
  })
  expect(update()?.operations).toBe(1)
  expect(Object.fromEntries(errors.byCode)).toEqual({ unavailable: 1, TypeError: 1, unknown: 1 })
  expect(errors.examples).toEqual(['unavailable: no quorum', 'TypeError: a bug', 'unknown: nonsense'])
})

test('a client that throws rather than rejects is no different', async () => {
  const { errors, run } = bench({ keys: 1 })
  await run(() => {
    throw new TypeError('a bug')
  })
  expect(errors.count).toBe(1)
})

test('a store that refuses everything ends the run, and not every error is kept', async () => {
  const { errors, run } = bench({ inFlight: 4 })
  await run(() => Promise.reject(new Error('no')))
  // Each of the other lanes may have had one on its way.
  expect(errors.count).toBeGreaterThanOrEqual(limits.benchErrorsMax)
  expect(errors.count).toBeLessThan(limits.benchErrorsMax + 4)
  expect(errors.examples).toHaveLength(limits.benchErrorExamplesMax)
})

test('an interrupted run ends with what was in flight', async () => {
  const interrupt = new AbortController()
  const { run } = bench({ inFlight: 2, signal: interrupt.signal })
  let ended = 0
  await run(async () => {
    await turn()
    if (++ended === 10) interrupt.abort()
  })
  expect(ended).toBeLessThanOrEqual(11)
})

test('the making of a large value is no part of its latency, where the clock is read for each operation', async () => {
  const elapsed = async (twoReadings: boolean): Promise<number | undefined> => {
    const clock = new FakeClock()
    class SlowVerifier extends Verifier {
      override value(key: number, write: number): Buffer {
        clock.ms += 5
        return super.value(key, write)
      }
    }
    const verifier = new SlowVerifier(new Values(16, 'seed', 1), 1000, true, false)
    const context = { ...laneContext(clock, new LoadSource(10)), verifier, twoReadings }
    const client: TargetClient = {
      read: () => Promise.resolve(undefined),
      write: async () => {
        clock.ms += 1
      },
      close: () => Promise.resolve(),
    }
    const end = { deadlineMs: clock.ms + 1000, signal: new AbortController().signal }
    context.recorder.roll(await runClosedLoop([client], 1, context, end), 0)
    return summaries(context.recorder, 1).update?.maxUs
  }
  expect(await elapsed(true)).toBe(1000)
  expect(await elapsed(false)).toBeGreaterThan(5900)
})

test('more lanes than operations: the run ends when there are no more', async () => {
  const { run, update } = bench({ inFlight: 64, keys: 2 })
  await run(() => Promise.resolve())
  expect(update()?.operations).toBe(2)
})
