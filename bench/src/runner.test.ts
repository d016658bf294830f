import { expect, test } from 'vitest'
import { limits } from './limits.js'
import { ErrorTally, type RunOptions, run, type Target } from './runner.js'
import { loadSource, type Source } from './workload.js'

/** A clock that moves when it is told to, and what `run` takes besides. */
function bench(options: Partial<RunOptions> = {}) {
  const clock = { ms: 1000 }
  const errors = new ErrorTally()
  const settings: RunOptions = {
    inFlight: 1,
    durationMs: 100,
    signal: new AbortController().signal,
    errors,
    now: () => clock.ms,
    ...options,
  }
  return { clock, errors, run: (source: Source, target: Target) => run(source, target, settings) }
}

/** More operations than any of these runs may start; it ends, so that one that does not stop fails rather than hangs. */
const plenty = (): Source => loadSource(10_000)

test('as many operations as asked for are in flight, and never more', async () => {
  const { run } = bench({ inFlight: 8 })
  let running = 0
  let most = 0
  const result = await run(loadSource(100), async () => {
    running++
    most = Math.max(most, running)
    await new Promise(setImmediate)
    running--
  })
  expect(most).toBe(8)
  expect(result.latencies.put.totalCount).toBe(100)
})

test('latencies are kept by kind, in microseconds', async () => {
  const { clock, run } = bench()
  const kinds = ['get', 'put'] as const
  let next = 0
  const source: Source = () => (next < 2 ? { kind: kinds[next++]!, key: 0 } : undefined)
  const { latencies } = await run(source, async ({ kind }) => {
    clock.ms += kind === 'get' ? 0.2 : 0.7
  })
  expect([latencies.get.totalCount, latencies.get.maxValue]).toEqual([1, 200])
  expect([latencies.put.totalCount, latencies.put.maxValue]).toEqual([1, 700])
})

test('no operation starts after the time, and the one that then runs counts in full', async () => {
  const { clock, run } = bench({ durationMs: 100 })
  let started = 0
  const { seconds, latencies } = await run(plenty(), async () => {
    clock.ms += ++started === 3 ? 5000 : 40
  })
  expect(started).toBe(3)
  expect(seconds).toBeCloseTo(5.08)
  expect(latencies.put.maxValue).toBeGreaterThanOrEqual(5_000_000)
})

test('an operation that fails is counted by its code, and is no latency', async () => {
  const { errors, run } = bench()
  const { latencies } = await run(loadSource(3), async ({ key }) => {
    if (key === 1) throw Object.assign(new Error('no quorum'), { code: 'unavailable' })
    if (key === 2) throw new TypeError('a bug')
  })
  expect(latencies.put.totalCount).toBe(1)
  expect(Object.fromEntries(errors.byCode)).toEqual({ unavailable: 1, TypeError: 1 })
  expect(errors.examples).toEqual(['unavailable: no quorum', 'TypeError: a bug'])
})

test('a cluster that refuses everything ends the run, and not every error is kept', async () => {
  const { errors, run } = bench({ inFlight: 4 })
  await run(plenty(), () => Promise.reject(new Error('no')))
  // Each of the other lanes may have had one on its way.
  expect(errors.count).toBeGreaterThanOrEqual(limits.errorsMax)
  expect(errors.count).toBeLessThan(limits.errorsMax + 4)
  expect(errors.examples).toHaveLength(limits.errorExamplesMax)
})

test('an interrupted run ends with what was in flight', async () => {
  const interrupt = new AbortController()
  const { run } = bench({ inFlight: 2, signal: interrupt.signal })
  let ended = 0
  await run(plenty(), async () => {
    await new Promise(setImmediate)
    if (++ended === 10) interrupt.abort()
  })
  expect(ended).toBeLessThanOrEqual(11)
})

test('more lanes than operations: the run ends when the source does', async () => {
  const { run } = bench({ inFlight: 64 })
  const { latencies } = await run(loadSource(2), () => Promise.resolve())
  expect(latencies.put.totalCount).toBe(2)
})
