import { limits } from '../limits.js'
import type { LoopEnd } from './closed-loop.js'
import { type LaneContext, noMore, runLane } from './lane.js'
import type { LoadRandom } from './random.js'
import type { TargetClient } from './target.js'

/** When operations are due: at equal distances, or as independent users would come (a Poisson process). */
export type Arrivals = 'fixed' | 'poisson'

export interface OpenLoopSettings {
  readonly ratePerSecond: number
  readonly arrivals: Arrivals
  /** At a time, of each client: what is due meanwhile waits. */
  readonly inFlight: number
  /** Operations that may wait so; what is due beyond that is counted as not started. Default: `limits.benchBacklogMax`. */
  readonly backlogMax?: number | undefined
}

export interface OpenLoopResult {
  /** When the time was over, or the last operation ended after that. */
  readonly endedMs: number
  /** Operations that were due. */
  readonly due: number
  /** Of these, how many never started, because too many waited before them or the time was over. */
  readonly notStarted: number
  /** The most that waited at a time. */
  readonly backlogMost: number
}

/**
 * Starts operations when they are due, whether earlier ones have ended or not, and measures them from then: a store that
 * stalls for a second is charged with that second by everyone who came meanwhile. That is what users see, and what a
 * closed loop leaves out (Gil Tene's "coordinated omission"; Schroeder et al., "Open Versus Closed", NSDI 2006).
 */
export async function runOpenLoop(
  clients: readonly TargetClient[],
  settings: OpenLoopSettings,
  random: LoadRandom,
  shared: Omit<LaneContext, 'nextDue'>,
  end: LoopEnd,
): Promise<OpenLoopResult> {
  return await new OpenLoop(clients, settings, random, shared, end).run()
}

class OpenLoop {
  readonly #settings: OpenLoopSettings
  readonly #random: LoadRandom
  readonly #context: LaneContext
  readonly #end: LoopEnd
  /** A client for each lane that has nothing to do: a ring, so that all clients are used alike, however little there is to do. */
  readonly #idle: TargetClient[] = []
  #idleFirst = 0
  #idleLength: number
  readonly #lanes: number
  /** Told when the last lane has ended. */
  #onAllIdle: (() => void) | undefined
  /** The times of what waits: a ring. */
  readonly #backlog: Float64Array
  #backlogFirst = 0
  #backlogLength = 0
  #backlogMost = 0
  #due = 0
  #notStarted = 0
  #endedMs = 0

  constructor(
    clients: readonly TargetClient[],
    settings: OpenLoopSettings,
    random: LoadRandom,
    shared: Omit<LaneContext, 'nextDue'>,
    end: LoopEnd,
  ) {
    this.#settings = settings
    this.#random = random
    this.#end = end
    this.#backlog = new Float64Array(settings.backlogMax ?? limits.benchBacklogMax)
    for (let lane = 0; lane < settings.inFlight; lane++) this.#idle.push(...clients)
    this.#lanes = this.#idle.length
    this.#idleLength = this.#lanes
    this.#context = { ...shared, nextDue: (endedMs) => this.#nextDue(endedMs) }
  }

  async run(): Promise<OpenLoopResult> {
    const { clock } = this.#context
    const { signal, deadlineMs } = this.#end
    const distanceMs = 1000 / this.#settings.ratePerSecond
    let dueMs = clock.now()
    this.#endedMs = dueMs
    while (dueMs < deadlineMs && !this.#isOver) {
      const now = clock.now()
      while (dueMs <= now && dueMs < deadlineMs) {
        this.#start(dueMs)
        const distances = this.#settings.arrivals === 'fixed' ? 1 : -Math.log(1 - this.#random.unit())
        dueMs += distances * distanceMs
      }
      // Also when it is late: what was started must get its turn.
      await clock.pause(Math.max(0, Math.min(dueMs, deadlineMs) - now), signal)
    }
    this.#notStarted += this.#backlogLength
    this.#backlogLength = 0
    // A time in which nothing was due belongs to the throughput: ten in ten seconds are one a second, whenever the tenth ended.
    this.#endedMs = Math.max(this.#endedMs, this.#isOver ? clock.now() : deadlineMs)
    if (this.#idleLength < this.#lanes) {
      await new Promise<void>((resolve) => {
        this.#onAllIdle = resolve
      })
    }
    return {
      endedMs: this.#endedMs,
      due: this.#due,
      notStarted: this.#notStarted,
      backlogMost: this.#backlogMost,
    }
  }

  get #isOver(): boolean {
    return this.#end.signal.aborted || this.#context.errors.isFull
  }

  #start(dueMs: number): void {
    this.#due++
    if (this.#idleLength > 0) {
      const client = this.#idle[this.#idleFirst]!
      this.#idleFirst = (this.#idleFirst + 1) % this.#lanes
      this.#idleLength--
      void this.#run(client, dueMs)
    } else if (this.#backlogLength === this.#backlog.length) {
      this.#notStarted++
    } else {
      this.#backlog[(this.#backlogFirst + this.#backlogLength) % this.#backlog.length] = dueMs
      this.#backlogLength++
      if (this.#backlogLength > this.#backlogMost) this.#backlogMost = this.#backlogLength
    }
  }

  async #run(client: TargetClient, dueMs: number): Promise<void> {
    const ended = await runLane(client, this.#context, dueMs)
    if (ended > this.#endedMs) this.#endedMs = ended
    this.#idle[(this.#idleFirst + this.#idleLength) % this.#lanes] = client
    this.#idleLength++
    if (this.#idleLength === this.#lanes) this.#onAllIdle?.()
  }

  #nextDue(endedMs: number): number {
    if (this.#backlogLength === 0 || endedMs >= this.#end.deadlineMs || this.#isOver) return noMore
    const due = this.#backlog[this.#backlogFirst]!
    this.#backlogFirst = (this.#backlogFirst + 1) % this.#backlog.length
    this.#backlogLength--
    return due
  }
}
