import { describe, expect, it } from 'vitest'
import { ErrorTally } from './error-tally.js'
import { FakeClock, laneContext } from './fakes.test-support.js'
import { type OpenLoopResult, type OpenLoopSettings, runOpenLoop } from './open-loop.js'
import { LoadRandom } from './random.js'
import { Recorder } from './recorder.js'
import { type KindSummary, summaries } from './report.js'
import type { TargetClient } from './target.js'

interface Ran extends OpenLoopResult {
  readonly startedAtMs: readonly number[]
  readonly fromDue: KindSummary | undefined
  readonly fromStart: KindSummary | undefined
}

interface Scene {
  readonly durationMs?: number
  /** When an operation that starts at this time ends, both counted from the beginning. */
  readonly endAt?: (startMs: number) => number
  /** How long an operation that starts at this time keeps the whole process from anything else. */
  readonly blocksMs?: (startMs: number) => number
  readonly signal?: AbortSignal
  readonly seed?: string
}

async function run(settings: Partial<OpenLoopSettings>, scene: Scene = {}): Promise<Ran> {
  const {
    durationMs = 2000,
    endAt = (ms) => ms,
    blocksMs = () => 0,
    signal = new AbortController().signal,
    seed = '1',
  } = scene
  const clock = new FakeClock()
  const startMs = clock.now()
  const service = new Recorder(startMs)
  const context = { ...laneContext(clock, undefined, new ErrorTally()), service }
  const startedAtMs: number[] = []
  const client: TargetClient = {
    read: () => Promise.resolve(undefined),
    write: () => {
      const at = clock.ms - startMs
      startedAtMs.push(at)
      clock.ms += blocksMs(at)
      return clock.until(startMs + endAt(at))
    },
    close: () => Promise.resolve(),
  }
  const all = { ratePerSecond: 100, arrivals: 'fixed', inFlight: 1, ...settings } as const
  const running = runOpenLoop([client], all, new LoadRandom(seed), context, {
    deadlineMs: startMs + durationMs,
    signal,
  })
  let ended = false
  const result = running.finally(() => {
    ended = true
  })
  // When it is over nobody pauses any more; what is in flight still needs some.
  while (!ended) {
    await new Promise(setImmediate)
    if (signal.aborted || clock.ms - startMs >= durationMs) await clock.advance(10)
  }
  const told = await result
  context.recorder.roll(told.endedMs, 0)
  service.roll(told.endedMs, 0)
  return {
    ...told,
    startedAtMs,
    fromDue: summaries(context.recorder, 1).update,
    fromStart: summaries(service, 1).update,
  }
}

describe('an open loop', () => {
  it('starts operations when they are due, at equal distances', async () => {
    const { due, notStarted, startedAtMs, fromDue } = await run({ ratePerSecond: 10 }, { durationMs: 1000 })
    expect(startedAtMs.map(Math.round)).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900])
    expect({ due, notStarted }).toEqual({ due: 10, notStarted: 0 })
    expect(fromDue).toMatchObject({ operations: 10, maxUs: 0 })
  })

  it('starts them whether earlier ones have ended or not, as far as lanes go', async () => {
    const { startedAtMs, fromDue, backlogMost } = await run(
      { ratePerSecond: 10, inFlight: 8 },
      { endAt: (ms) => ms + 500 },
    )
    expect(startedAtMs.slice(0, 4).map(Math.round)).toEqual([0, 100, 200, 300])
    expect(backlogMost).toBe(0)
    expect(fromDue?.p99Us).toBeCloseTo(500_000, -3)
  })

  it('charges a stall of a second to everyone who was due meanwhile, where the actual start shows one slow operation', async () => {
    const stalled = await run({}, { endAt: (ms) => (ms >= 500 && ms < 1500 ? 1500 : ms), durationMs: 3000 })
    expect(stalled.notStarted).toBe(0)
    expect(stalled.fromDue).toMatchObject({ operations: 300 })
    expect(stalled.fromDue!.maxUs).toBeCloseTo(1_000_000, -4)
    // A hundred were due in the stall, and waited for its end: 1,000 ms, 990 ms and so on.
    expect(stalled.fromDue!.p95Us).toBeGreaterThan(800_000)
    expect(stalled.fromDue!.p50Us).toBe(0)
    expect(stalled.fromStart!.maxUs).toBeCloseTo(1_000_000, -4)
    expect(stalled.fromStart!.p99Us).toBe(0)
    expect(stalled.backlogMost).toBeGreaterThan(90)
  })

  it('charges operations with its own lateness too: the process was busy when they were due', async () => {
    const { fromDue, fromStart } = await run({ inFlight: 64 }, { blocksMs: (ms) => (ms === 500 ? 400 : 0) })
    expect(fromDue!.maxUs).toBeCloseTo(400_000, -4)
    expect(fromDue!.p95Us).toBeGreaterThan(250_000)
    expect(fromStart!.p99Us).toBe(0)
  })

  it('counts what never started: beyond the backlog, and what still waited when the time was over', async () => {
    const { due, notStarted, startedAtMs, backlogMost } = await run({ backlogMax: 10 }, { endAt: () => 2000 })
    expect(due).toBe(200)
    expect(startedAtMs).toHaveLength(1)
    expect(notStarted).toBe(199)
    expect(backlogMost).toBe(10)
  })

  it('ends when it is interrupted, with what was in flight', async () => {
    const stop = new AbortController()
    const endAt = (ms: number): number => {
      if (ms < 500) return ms
      stop.abort()
      return ms + 50
    }
    const { due, fromDue } = await run({}, { signal: stop.signal, endAt })
    expect(due).toBe(51)
    expect(fromDue?.operations).toBe(51)
  })

  it('has the time after the last operation in its own, as a rate is made of it', async () => {
    const { endedMs, due } = await run({ ratePerSecond: 1, inFlight: 4 }, { durationMs: 10_000 })
    expect(due).toBe(10)
    expect(endedMs).toBeCloseTo(11_000)
  })

  it('uses all clients alike, also where one would do', async () => {
    const clock = new FakeClock()
    const used = [0, 0, 0]
    const clients = used.map((_, i): TargetClient => {
      const write = async () => {
        used[i]!++
      }
      return { read: () => Promise.resolve(undefined), write, close: () => Promise.resolve() }
    })
    const settings = { ratePerSecond: 100, arrivals: 'fixed', inFlight: 2 } as const
    const end = { deadlineMs: clock.now() + 300, signal: new AbortController().signal }
    await runOpenLoop(clients, settings, new LoadRandom('1'), laneContext(clock), end)
    expect(used).toEqual([10, 10, 10])
  })

  it('lets operations come as independent users do: gaps of all sizes, as many as the rate says', async () => {
    const { startedAtMs } = await run({ arrivals: 'poisson', inFlight: 64 }, { durationMs: 100_000 })
    const gaps = startedAtMs.slice(1).map((at, i) => at - startedAtMs[i]!)
    expect(Math.abs(startedAtMs.length - 10_000)).toBeLessThan(400)
    // Of exponential gaps, 63 % are below the mean and 5 % above three times it.
    expect(gaps.filter((gap) => gap < 10).length / gaps.length).toBeCloseTo(1 - Math.exp(-1), 1)
    expect(gaps.filter((gap) => gap > 30).length / gaps.length).toBeCloseTo(Math.exp(-3), 1)
  })
})

describe('A client that refuses at once', () => {
  it('does not keep the process from hearing answers, however much waits', async () => {
    const clock = new FakeClock()
    const startMs = clock.now()
    let refused = 0
    let before = 0
    let mostInATurn = 0
    let over = false
    // As the answers of a socket: they can only be heard between two turns of the event loop.
    const listen = (): void => {
      mostInATurn = Math.max(mostInATurn, refused - before)
      before = refused
      if (!over) setImmediate(listen)
    }
    const client: TargetClient = {
      read: () => Promise.resolve(undefined),
      write: () => {
        refused++
        // Meanwhile 500 more become due.
        if (refused === 1) clock.ms += 500
        return Promise.reject(new Error('overloaded'))
      },
      close: () => Promise.resolve(),
    }
    const context = laneContext(clock, undefined, new ErrorTally())
    const settings = { ratePerSecond: 1000, arrivals: 'fixed', inFlight: 2 } as const
    const end = { deadlineMs: startMs + 600, signal: new AbortController().signal }
    setImmediate(listen)
    await runOpenLoop([client], settings, new LoadRandom('1'), context, end)
    over = true
    expect(refused).toBeGreaterThan(100)
    expect(mostInATurn).toBeLessThanOrEqual(2 * settings.inFlight)
  })
})
