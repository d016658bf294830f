import type { Clock, Timer } from '@quorumkv/internal/env'
import { NodeClock } from '@quorumkv/internal/env-node'

/**
 * A timer set for longer waits for time to pass, and fires when time is moved on; a shorter one is part of a conversation
 * with another node or with the machine, whose answers come as fast as ever.
 */
const conversationMsMax = 5_000

/** The time of all nodes of a cluster: that of the machine, and what has been added to it. */
export class LocalTime {
  readonly #machine = new NodeClock()
  readonly #waiting = new Set<LongTimer>()
  #advancedMs = 0

  /** What has been added so far. */
  get advancedMs(): number {
    return this.#advancedMs
  }

  /**
   * Moves wall and monotonic clocks of all nodes on by whole milliseconds, as if they had all been paused for as long. Timers
   * that were to wait for longer than `conversationMsMax` and are due then fire, in their order, when the event loop turns.
   */
  advance(ms: number): void {
    this.#advancedMs += ms
    const inOrder = [...this.#waiting].sort((a, b) => a.dueMs - b.dueMs)
    for (const timer of inOrder) timer.arm()
  }

  /** The clock of one node. */
  clock(): LocalClock {
    return new LocalClock(this)
  }

  /** @internal */
  wallMs(): number {
    return this.#machine.wallMs() + this.#advancedMs
  }

  /** @internal */
  monotonicMs(): number {
    return this.#machine.monotonicMs() + this.#advancedMs
  }

  /** @internal */
  setTimer(delayMs: number, fire: () => void): Timer {
    if (!(delayMs > conversationMsMax && Number.isFinite(delayMs))) return this.#machine.setTimer(delayMs, fire)
    const dueMs = this.monotonicMs() + delayMs
    const machine = this.#machine
    const waiting = this.#waiting
    const monotonicMs = (): number => this.monotonicMs()
    let underlying: Timer | undefined
    const timer: LongTimer = {
      dueMs,
      arm(): void {
        underlying?.cancel()
        underlying = machine.setTimer(dueMs - monotonicMs(), () => {
          waiting.delete(timer)
          fire()
        })
      },
      cancel(): void {
        waiting.delete(timer)
        underlying?.cancel()
      },
    }
    waiting.add(timer)
    timer.arm()
    return timer
  }

  /** @internal */
  defer(fire: () => void): void {
    this.#machine.defer(fire)
  }
}

interface LongTimer extends Timer {
  readonly dueMs: number
  /** Sets it anew for what is left. */
  arm(): void
}

/** The clock of one node: the time of its cluster, and a wall clock that may be wrong. */
export class LocalClock implements Clock {
  /** How far its wall clock is ahead of the others', in whole milliseconds; negative: behind. */
  skewMs = 0
  readonly #time: LocalTime

  constructor(time: LocalTime) {
    this.#time = time
  }

  wallMs(): number {
    return this.#time.wallMs() + this.skewMs
  }

  monotonicMs(): number {
    return this.#time.monotonicMs()
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    return this.#time.setTimer(delayMs, fire)
  }

  defer(fire: () => void): void {
    this.#time.defer(fire)
  }
}
