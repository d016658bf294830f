import { assert } from '../base/index.js'
import type { Clock, Timer } from '../env/index.js'
import { type EventOwner, type Scheduler, type SimEvent, tickMs } from './scheduler.js'

/** The clock of one machine: how its time differs from the true time of the simulation. Outlives its processes. */
export class SimMachineClock {
  readonly #scheduler: Scheduler
  #rate = 1
  #skewMs = 0
  #sinceMs = 0
  #wallAtSinceMs: number
  #localAtSinceMs = 0

  constructor(scheduler: Scheduler, startWallMs: number) {
    this.#scheduler = scheduler
    this.#sinceMs = scheduler.nowMs
    this.#wallAtSinceMs = startWallMs + scheduler.nowMs
  }

  /** How fast this machine's time runs; 1 is true. */
  get rate(): number {
    return this.#rate
  }

  /** Local milliseconds since the machine was made: runs at `rate`, never jumps. */
  localMs(): number {
    return this.#localAtSinceMs + (this.#scheduler.nowMs - this.#sinceMs) * this.#rate
  }

  /** Unix time as this machine believes it to be, with a fraction. */
  wallMs(): number {
    return this.#wallAtSinceMs + this.#skewMs + (this.#scheduler.nowMs - this.#sinceMs) * this.#rate
  }

  /** Makes the wall clock jump so that it is `skewMs` ahead of (negative: behind) where it would be without any skew. */
  setSkewMs(skewMs: number): void {
    this.#skewMs = skewMs
  }

  /** From now on, wall and monotonic time run `partsPerMillion` fast (negative: slow). A timer already set may be late. */
  setDriftPpm(partsPerMillion: number): void {
    assert(partsPerMillion > -1e6, 'time does not stand still or run backwards')
    const nowMs = this.#scheduler.nowMs
    const passedMs = (nowMs - this.#sinceMs) * this.#rate
    this.#wallAtSinceMs += passedMs
    this.#localAtSinceMs += passedMs
    this.#sinceMs = nowMs
    this.#rate = 1 + partsPerMillion / 1e6
  }
}

/** The clock as one life of a process sees it. Monotonic time starts at 0 with each life. */
export class SimClock implements Clock {
  readonly #scheduler: Scheduler
  readonly #machine: SimMachineClock
  readonly #owner: EventOwner
  readonly #bornMs: number

  constructor(scheduler: Scheduler, machine: SimMachineClock, owner: EventOwner) {
    this.#scheduler = scheduler
    this.#machine = machine
    this.#owner = owner
    this.#bornMs = machine.localMs()
  }

  wallMs(): number {
    return Math.floor(this.#machine.wallMs())
  }

  monotonicMs(): number {
    return this.#machine.localMs() - this.#bornMs
  }

  setTimer(delayMs: number, fire: () => void): Timer {
    assert(Number.isFinite(delayMs), `a timer needs a finite delay, got ${delayMs}`)
    const dueMs = this.monotonicMs() + Math.max(0, delayMs)
    const arm = (): SimEvent => {
      const leftMs = (dueMs - this.monotonicMs()) / this.#machine.rate
      return this.#scheduler.schedule(this.#owner, 'timer', Math.max(0, leftMs), () => {
        if (this.monotonicMs() >= dueMs) fire()
        else event = arm() // the machine's time has slowed down since, or the division rounded down
      })
    }
    let event = arm()
    return { cancel: () => this.#scheduler.cancel(event) }
  }

  /** A turn of the loop takes one tick of time: so a program that only waits for something else lets it happen. */
  defer(fire: () => void): void {
    this.#scheduler.schedule(this.#owner, 'defer', tickMs, fire)
  }
}
