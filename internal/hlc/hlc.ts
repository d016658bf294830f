import { assert } from '../base/index.js'
import type { Clock } from '../env/index.js'
import { type Hlc, hlcMs, hlcOf } from './version.js'

/** The last millisecond that 48 bits can hold: in the year 10889. */
export const hlcMsMax = 281_474_976_710_655

const counterMax = 0xffff

/** A peer's or client's reading is further ahead of this node's wall clock than the cluster allows: refused. */
export class ClockDriftError extends Error {
  override readonly name = 'ClockDriftError'
  /** Unix milliseconds of the refused reading. */
  readonly remoteMs: number
  /** Unix milliseconds of this node's wall clock at that moment. */
  readonly wallMs: number
  readonly maxDriftMs: number

  constructor(remoteMs: number, wallMs: number, maxDriftMs: number) {
    super(
      `a clock reading ${remoteMs - wallMs} ms ahead of this node's wall clock; at most ${maxDriftMs} ms are allowed`,
    )
    this.remoteMs = remoteMs
    this.wallMs = wallMs
    this.maxDriftMs = maxDriftMs
  }
}

/** There is no reading above the last one within 48 bits of milliseconds, or the wall clock stands beyond them. */
export class ClockRangeError extends Error {
  override readonly name = 'ClockRangeError'
  /** The Unix milliseconds that do not fit. */
  readonly ms: number

  constructor(ms: number) {
    super(`the clock would read ${ms} ms, more than 48 bits hold`)
    this.ms = ms
  }
}

/**
 * A node's hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): it follows the wall clock where
 * that moves on, and counts where it stands still or jumps back. What was read, sent, received or found on disk is
 * below all that is read later; that alone orders writes, whatever the wall clocks say.
 *
 * The bound on drift is checked before a foreign reading is merged, so that one node with a broken clock cannot drag
 * the others into the future, where no later write could supersede what it stamped.
 */
export class HybridClock {
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #maxDriftMs: number
  // The last reading, in the form that `now` works on.
  #ms: number
  #counter: number

  /**
   * `maxDriftMs`: how far a foreign reading may be ahead of the wall clock. `startAbove`: the highest of everything
   * that this node may ever have stamped, from its disk.
   */
  constructor(clock: Pick<Clock, 'wallMs'>, maxDriftMs: number, startAbove: Hlc) {
    assert(Number.isSafeInteger(maxDriftMs) && maxDriftMs >= 0, `maxDriftMs ${maxDriftMs}`)
    this.#clock = clock
    this.#maxDriftMs = maxDriftMs
    this.#ms = hlcMs(startAbove)
    this.#counter = startAbove.lo & counterMax
  }

  /** A fresh reading, above every earlier one. Throws ClockRangeError, and is unchanged, where 48 bits end. */
  now(): Hlc {
    const wallMs = this.#clock.wallMs()
    if (wallMs > this.#ms) this.#moveTo(wallMs)
    else if (this.#counter < counterMax) this.#counter++
    else this.#moveTo(this.#ms + 1)
    return hlcOf(this.#ms, this.#counter)
  }

  /** The last reading, or what was merged since if that is higher. Takes no tick, so it must not stamp anything. */
  current(): Hlc {
    return hlcOf(this.#ms, this.#counter)
  }

  /**
   * Merges a reading that came in a message: every later `now` is above it, its counter included. Throws
   * ClockDriftError, and changes nothing, when it would move this clock to more than `maxDriftMs` ahead of the wall.
   */
  observe(remote: Hlc): void {
    const remoteMs = hlcMs(remote)
    // What moves nothing harms nobody, however far this node's own wall clock has been set back.
    if (remoteMs < this.#ms || (remoteMs === this.#ms && (remote.lo & counterMax) <= this.#counter)) return
    const wallMs = this.#clock.wallMs()
    if (remoteMs > wallMs + this.#maxDriftMs) throw new ClockDriftError(remoteMs, wallMs, this.#maxDriftMs)
    this.#merge(remoteMs, remote.lo & counterMax)
  }

  /**
   * Makes every later `now` higher than `hlc`, without a bound on drift: for stamps that are durable already, where
   * refusing would let a later write lose against an earlier one. See `aheadMs`.
   */
  raiseAbove(hlc: Hlc): void {
    this.#merge(hlcMs(hlc), hlc.lo & counterMax)
  }

  /**
   * How many milliseconds the clock is ahead of the wall clock (negative: behind). More than the allowed drift means
   * that the wall clock jumped back or that the disk holds stamps from the future: other nodes will refuse this one.
   */
  aheadMs(): number {
    return this.#ms - this.#clock.wallMs()
  }

  #merge(ms: number, counter: number): void {
    if (ms > this.#ms) {
      this.#ms = ms
      this.#counter = counter
    } else if (ms === this.#ms && counter > this.#counter) {
      this.#counter = counter
    }
  }

  #moveTo(ms: number): void {
    if (ms > hlcMsMax) throw new ClockRangeError(ms)
    this.#ms = ms
    this.#counter = 0
  }
}
