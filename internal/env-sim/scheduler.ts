import { assert } from '../base/index.js'
import { stepThrough } from './barrier.js'
import { EventHash } from './event-hash.js'
import { EventHeap, type SimEvent } from './event-heap.js'
import { hashText, type Seed } from './random.js'

export type { SimEvent } from './event-heap.js'

/** What an event is. The numbers go into the hash of a run. */
export const eventKinds = {
  timer: 1,
  defer: 2,
  disk: 3,
  connect: 4,
  accept: 5,
  message: 6,
  drain: 7,
  close: 8,
  fault: 9,
} as const
export type EventKind = keyof typeof eventKinds

/** Whose event it is. Events of an owner that is not alive never run; those of a paused one wait until it goes on. */
export class EventOwner {
  readonly label: string
  readonly code: number
  alive = true
  paused = false
  /** Events whose time came while it was paused, in order. */
  readonly held: SimEvent[] = []

  constructor(label: string) {
    this.label = label
    this.code = hashText(label)
  }
}

/** Owns what no process does: faults that a test has planned, packets under way. Lives for ever. */
export const nobody: EventOwner = new EventOwner('nobody')

/** The answer to whoever has died. */
export function neverSettles(): Promise<never> {
  return new Promise(() => {})
}

/** One event that has run, as an observer sees it. */
export interface ObservedEvent {
  readonly timeMs: number
  readonly kind: EventKind
  readonly owner: string
  readonly detail: number
}

/** Why a run ended: the condition held, its time was over, or nothing was left that could happen. */
export type RunEnd = 'met' | 'time' | 'idle'

/** At one instant no sane program makes more events than this: zero-delay loops would never let time pass. */
const eventsPerInstantMax = 1_000_000

/** Ticks per millisecond. Times are whole ticks, so sums are exact and rounding never fires a timer early. */
const ticksPerMs = 1024

/** The next whole tick, in milliseconds. */
export function roundUpMs(ms: number): number {
  return Math.ceil(ms * ticksPerMs) / ticksPerMs
}

/** One tick, in milliseconds: about a microsecond. */
export const tickMs: number = 1 / ticksPerMs

/** Virtual time: what happens, in the order (time, sequence), one event at a time. */
export class Scheduler {
  readonly #heap = new EventHeap()
  readonly #hash: EventHash
  readonly #observe: ((event: ObservedEvent) => void) | undefined
  #nowMs = 0
  #sequence = 0
  #eventsRun = 0
  #eventsAtNow = 0
  #driving = false

  constructor(seed: Seed, observe?: (event: ObservedEvent) => void) {
    this.#hash = new EventHash(String(seed))
    this.#observe = observe
  }

  /** Virtual milliseconds since the beginning. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** How many events have run. */
  get eventsRun(): number {
    return this.#eventsRun
  }

  /** How many events wait for their time. */
  get eventsWaiting(): number {
    return this.#heap.size
  }

  /** Fingerprint of seed and all events so far: time, kind, owner and detail of each, in order. */
  get hash(): string {
    return this.#hash.toString()
  }

  /** `fire` runs `delayMs` from now, behind whatever is already due at that time. */
  schedule(owner: EventOwner, kind: EventKind, delayMs: number, fire: () => void, detail = 0): SimEvent {
    assert(delayMs >= 0 && Number.isFinite(delayMs), `an event cannot be ${delayMs} ms away`)
    const event: SimEvent = {
      timeMs: this.#nowMs + roundUpMs(delayMs),
      sequence: this.#sequence++,
      kind,
      owner,
      detail,
      fire,
      heapIndex: -1,
      cancelled: false,
    }
    if (owner.alive) this.#heap.push(event)
    return event
  }

  cancel(event: SimEvent): void {
    event.cancelled = true
    if (event.heapIndex !== -1) this.#heap.remove(event)
  }

  /** Lets the events that a paused owner missed run now, in their order. */
  release(owner: EventOwner): void {
    for (const event of owner.held.splice(0)) {
      if (event.cancelled) continue
      event.timeMs = this.#nowMs
      event.sequence = this.#sequence++
      this.#heap.push(event)
    }
  }

  /**
   * Runs events until `met` holds (it is asked after each event, when all promises that the event settled have run on),
   * until the next event lies behind `limitMs`, or until none is left. Rejects with what an event throws.
   */
  async drive(met: () => boolean, limitMs: number): Promise<RunEnd> {
    assert(!this.#driving, 'virtual time is being driven already; await that run first')
    this.#driving = true
    let end: RunEnd = 'met'
    try {
      await stepThrough(() => {
        if (met()) return true
        const next = this.#heap.peek()
        if (next === undefined || next.timeMs > limitMs) {
          end = next === undefined ? 'idle' : 'time'
          return true
        }
        this.#execute(next)
        return false
      })
    } finally {
      this.#driving = false
    }
    return end
  }

  /** Moves time on where nothing happens until then. */
  skipTo(timeMs: number): void {
    const next = this.#heap.peek()
    assert(next === undefined || next.timeMs >= timeMs, 'time cannot pass over an event')
    if (timeMs > this.#nowMs) this.#setNow(timeMs)
  }

  #execute(event: SimEvent): void {
    this.#heap.remove(event)
    if (event.timeMs > this.#nowMs) this.#setNow(event.timeMs)
    const owner = event.owner
    if (!owner.alive) return
    if (owner.paused) {
      owner.held.push(event)
      return
    }
    this.#eventsRun++
    this.#eventsAtNow++
    assert(this.#eventsAtNow <= eventsPerInstantMax, `time stands still: ${owner.label} loops without a delay`)
    this.#hash.foldNumber(event.timeMs)
    this.#hash.fold(eventKinds[event.kind])
    this.#hash.fold(owner.code)
    this.#hash.fold(event.detail)
    this.#observe?.({ timeMs: event.timeMs, kind: event.kind, owner: owner.label, detail: event.detail })
    event.fire()
  }

  #setNow(timeMs: number): void {
    this.#nowMs = timeMs
    this.#eventsAtNow = 0
  }
}
