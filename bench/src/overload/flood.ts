import { LoadRandom } from '@quorumkv/cli/bench'
import type { KvOperations } from '@quorumkv/client'
import { limits } from '../limits.js'

/** How a flood comes: so much at a time of each client, or so much a second, whatever becomes of it. */
export type Stretch = { readonly seconds: number } & (
  | { readonly inFlight: number; readonly ratePerSecond?: undefined }
  | { readonly ratePerSecond: number; readonly inFlight?: undefined }
)

/** What a flood asks for, and of whom. */
export interface FloodSettings {
  readonly keys: number
  readonly valueBytes: number
  /** Of all operations; the others are writes. */
  readonly readShare: number
  readonly seed: string
}

/** The part of the SDK that a flood uses. */
export type FloodClient = Pick<KvOperations, 'put' | 'getBytes'>

/** What happened in one piece of the time. */
export interface FloodInterval {
  readonly endSeconds: number
  readonly done: number
  readonly failed: number
}

/** What became of a stretch. */
export interface FloodReport {
  /** Until the last operation had ended. */
  readonly seconds: number
  /** Operations that were due. Of these: */
  readonly due: number
  readonly done: number
  /** Refused by the client at once, as it had as many as it accepts. */
  readonly refusedHere: number
  /** Refused by a node, and by every other that was asked, until the operation's time was over. */
  readonly refusedByNode: number
  /** Not asked for at all, as this process stood still for longer than `limits.floodLateMs`. */
  readonly notStarted: number
  /** Others, by code. */
  readonly failed: Readonly<Record<string, number>>
  /** Of one operation in `limits.floodTimedEach`: how long the one took that took longest to fail. */
  readonly slowestErrorMs: number
  readonly intervals: readonly FloodInterval[]
  /** Processor time of the flood's own process. */
  readonly cpuSeconds: number
}

/** When it is, and when to look again. Tests give others. */
export interface FloodClock {
  now(): number
  /** Calls back after about a millisecond. */
  soon(callback: () => void): void
  /** Calls back with the next turn of the event loop, when what had come in has been looked at. */
  nextTurn(callback: () => void): void
}

export const floodClock: FloodClock = {
  now: () => performance.now(),
  soon: (callback) => void setTimeout(callback, 1),
  nextTurn: (callback) => void setImmediate(callback),
}

/** A client of the flood. Its callbacks are made once: a closure for each operation would be work for the collector. */
interface Caller {
  readonly client: FloodClient
  pending: number
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

/** The name of a key of a flood. Others verify what they read, and so have keys of their own. */
function floodKey(key: number): string {
  return `flood:${String(key).padStart(10, '0')}`
}

/**
 * Sends, and counts what comes back; nothing is verified, and nothing made for an operation but what the client makes. One
 * look at the clock starts all that is due: every millisecond, and in each turn of the event loop in which something
 * has ended. So it leaves the processor to those that it asks.
 */
export class Flood {
  readonly #callers: readonly Caller[]
  readonly #settings: FloodSettings
  readonly #clock: FloodClock
  readonly #random: LoadRandom
  readonly #names: readonly string[]
  readonly #value: Buffer
  #counts = new Counts()
  /** Since the present interval began. */
  #interval = { done: 0, failed: 0 }
  #pending = 0
  #lookPlanned = false
  #look: () => void = () => undefined

  constructor(clients: readonly FloodClient[], settings: FloodSettings, clock: FloodClock = floodClock) {
    this.#callers = clients.map((client) => this.#callerOf(client))
    this.#settings = settings
    this.#clock = clock
    this.#random = new LoadRandom(settings.seed)
    this.#names = Array.from({ length: settings.keys }, (_, key) => floodKey(key))
    this.#value = Buffer.alloc(settings.valueBytes, 0x66)
  }

  /**
   * Writes every key once. Rejects as the client does.
   *
   * @param maxInFlight - what one client accepts at a time
   */
  async load(maxInFlight: number): Promise<void> {
    let next = 0
    const lane = async (client: FloodClient): Promise<void> => {
      while (next < this.#names.length) await client.put(this.#names[next++]!, this.#value)
    }
    const lanes = Math.min(maxInFlight, Math.ceil(limits.floodLoadInFlight / this.#callers.length))
    await Promise.all(this.#callers.flatMap(({ client }) => Array.from({ length: lanes }, () => lane(client))))
  }

  /** Resolves when all that was begun has ended. What fails is counted; it never rejects. */
  async run({ ratePerSecond, inFlight, seconds }: Stretch): Promise<FloodReport> {
    const clock = this.#clock
    const started = clock.now()
    const cpu = process.cpuUsage()
    const endsAt = started + seconds * 1000
    const intervals: FloodInterval[] = []
    this.#counts = new Counts()
    this.#interval = { done: 0, failed: 0 }
    let rolledAt = started
    let dueBefore = 0
    const roll = (now: number): void => {
      intervals.push({ endSeconds: (now - started) / 1000, ...this.#interval })
      this.#interval = { done: 0, failed: 0 }
      rolledAt = now
    }
    const lateMax = ratePerSecond === undefined ? 0 : Math.ceil((ratePerSecond * limits.floodLateMs) / 1000)
    const start = (now: number): void => {
      if (ratePerSecond === undefined) {
        for (const caller of this.#callers) {
          while (caller.pending < inFlight) this.#begin(caller, now)
        }
        return
      }
      const due = Math.floor(((now - started) * ratePerSecond) / 1000)
      const late = Math.max(0, due - dueBefore - lateMax)
      this.#counts.due += late
      this.#counts.notStarted += late
      for (let n = dueBefore + late; n < due; n++) this.#begin(this.#callers[n % this.#callers.length]!, now)
      dueBefore = due
    }
    await new Promise<void>((resolve) => {
      const look = (): void => {
        const now = clock.now()
        if (now - rolledAt >= limits.floodIntervalMs) roll(now)
        if (now < endsAt) start(now)
        else if (this.#pending === 0) resolve()
      }
      this.#look = look
      const tick = (): void => {
        look()
        if (clock.now() < endsAt || this.#pending > 0) clock.soon(tick)
      }
      tick()
    })
    this.#look = () => undefined
    const ended = clock.now()
    roll(ended)
    const { user, system } = process.cpuUsage(cpu)
    const { due, done, refusedHere, refusedByNode, notStarted, slowestErrorMs, byCode: failed } = this.#counts
    const counts = { due, done, refusedHere, refusedByNode, notStarted, failed, slowestErrorMs }
    return { seconds: (ended - started) / 1000, ...counts, intervals, cpuSeconds: (user + system) / 1e6 }
  }

  #begin(caller: Caller, now: number): void {
    const random = this.#random
    const isRead = random.unit() < this.#settings.readShare
    const key = this.#names[Math.floor(random.unit() * this.#names.length)]!
    const isTimed = this.#counts.due % limits.floodTimedEach === 0
    this.#counts.due++
    this.#pending++
    caller.pending++
    const { client, done, failed } = caller
    const operation: Promise<unknown> = isRead ? client.getBytes(key) : client.put(key, this.#value)
    operation.then(
      done,
      isTimed ? (error: unknown) => this.#failedAfter(this.#clock.now() - now, caller, error) : failed,
    )
  }

  #callerOf(client: FloodClient): Caller {
    const caller: Caller = {
      client,
      pending: 0,
      done: () => {
        this.#counts.done++
        this.#interval.done++
        this.#ended(caller)
      },
      failed: (error) => {
        this.#counts.failed(error)
        this.#interval.failed++
        this.#ended(caller)
      },
    }
    return caller
  }

  #failedAfter(ms: number, caller: Caller, error: unknown): void {
    this.#counts.slowestErrorMs = Math.max(this.#counts.slowestErrorMs, ms)
    caller.failed(error)
  }

  #ended(caller: Caller): void {
    caller.pending--
    this.#pending--
    if (this.#lookPlanned) return
    this.#lookPlanned = true
    this.#clock.nextTurn(() => {
      this.#lookPlanned = false
      this.#look()
    })
  }
}

class Counts {
  due = 0
  done = 0
  refusedHere = 0
  refusedByNode = 0
  notStarted = 0
  slowestErrorMs = 0
  readonly byCode: Record<string, number> = {}

  failed(error: unknown): void {
    const { code, node } = error as { code?: unknown; node?: unknown }
    if (code === 'overloaded' && node === undefined) this.refusedHere++
    else if (code === 'overloaded') this.refusedByNode++
    else this.byCode[String(code)] = (this.byCode[String(code)] ?? 0) + 1
  }
}
