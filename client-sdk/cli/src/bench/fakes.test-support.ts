import type { LoadClock } from './clock.js'
import { ErrorTally } from './error-tally.js'
import { KeySpace } from './key-space.js'
import type { LaneContext } from './lane.js'
import { Recorder } from './recorder.js'
import type { ScannedEntry, Target, TargetClient } from './target.js'
import { KeyNames, Values } from './values.js'
import { Verifier } from './verifier.js'
import { LoadSource, type OperationSource } from './workload.js'

/** Lets everything run that can run without time passing. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Time that passes when somebody pauses, at once, or by a little at every reading. */
export class FakeClock implements LoadClock {
  ms = 1000
  readonly #perReadingMs: number
  readonly #waiting: { readonly atMs: number; readonly go: () => void }[] = []

  constructor(perReadingMs = 0) {
    this.#perReadingMs = perReadingMs
  }

  now(): number {
    this.ms += this.#perReadingMs
    return this.ms
  }

  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }

  async pause(ms: number): Promise<void> {
    await settle()
    await this.advance(ms)
  }

  /** Lets `ms` pass, and whoever waits in between go on at their time. */
  async advance(ms: number): Promise<void> {
    const end = this.ms + ms
    for (;;) {
      this.#waiting.sort((a, b) => a.atMs - b.atMs)
      if (this.#waiting.length === 0 || this.#waiting[0]!.atMs > end) break
      const { atMs, go } = this.#waiting.shift()!
      this.ms = Math.max(this.ms, atMs)
      go()
      await settle()
    }
    this.ms = Math.max(this.ms, end)
  }

  /** Resolves when it is `atMs`, at once where that has passed. */
  until(atMs: number): Promise<void> {
    if (atMs <= this.ms) return Promise.resolve()
    return new Promise((go) => this.#waiting.push({ atMs, go }))
  }

  every(): () => void {
    return () => undefined
  }
}

/** A store in memory, right unless told otherwise. */
export class MapTarget implements Target, TargetClient {
  readonly name = 'a map'
  reads: 'fresh' | 'any' = 'fresh'
  readonly data: Map<string, Buffer> = new Map()
  /** What reads give instead. */
  readInstead: ((key: string) => Buffer | undefined) | undefined
  /** What writes do besides, or instead when it throws. */
  onWrite: ((key: string, value: Buffer) => void) | undefined
  connected = 0
  closed = 0

  async describe(): Promise<Record<string, string>> {
    return { durability: 'none' }
  }

  async connect(): Promise<TargetClient> {
    this.connected++
    return this
  }

  async read(key: string): Promise<Uint8Array | undefined> {
    return this.readInstead === undefined ? this.data.get(key) : this.readInstead(key)
  }

  async write(key: string, value: Buffer): Promise<void> {
    this.onWrite?.(key, value)
    this.data.set(key, value)
  }

  async scan(_start: number, count: number, entry: ScannedEntry): Promise<number> {
    const keys = [...this.data.keys()].slice(0, count)
    for (const key of keys) entry(key, (await this.read(key))!)
    return keys.length
  }

  async close(): Promise<void> {
    this.closed++
  }
}

/** What the lanes of a loop share, for loops that run by themselves. */
export function laneContext(
  clock: LoadClock,
  source: OperationSource = new LoadSource(1_000_000),
  errors: ErrorTally = new ErrorTally(),
): Omit<LaneContext, 'nextDue'> {
  const verifier = new Verifier(new Values(16, 'seed', 1), 1000, true, false)
  const recorder = new Recorder(clock.now())
  const [names, keys] = [new KeyNames(), new KeySpace(1000)]
  return { source, errors, clock, verifier, recorder, names, keys, twoReadings: false }
}
