import { limits } from '../base/index.js'
import type { Clock } from '../env/index.js'

/**
 * Lets commits wait for company before they are written and synced together. A sync costs the same for one commit and
 * for a hundred, and those who were told of the last one bring their next commits not all in the same turn of the event
 * loop: messages of other nodes and of clients come one behind the other.
 *
 * Where `limits.logGatherFrom` commits wait, the event loop turns once more, and again as long as each turn brings
 * another commit, for at most `limits.logGatherMs`. So one writer at a time never waits; a few wait for one turn, which
 * an idle loop makes at once; and many wait while they are coming in anyway. The idea is that of PostgreSQL's
 * `commit_delay` and `commit_siblings` and of the group commit of the mainframes before it (DeWitt et al., 1984), with
 * the growth of the group in place of a time that somebody would have to tune.
 */
export class Gathering {
  readonly #clock: Clock
  readonly #mayWait: () => number

  /** `mayWait` says how many commits wait that may wait for more, and 0 as soon as they must not. */
  constructor(clock: Clock, mayWait: () => number) {
    this.#clock = clock
    this.#mayWait = mayWait
  }

  /** Resolves when what waits should be written, in this turn if nothing may wait. Never rejects. */
  async run(): Promise<void> {
    let gathered = this.#mayWait()
    if (gathered < limits.logGatherFrom) return
    const untilMs = this.#clock.monotonicMs() + limits.logGatherMs
    for (;;) {
      await nextTurn(this.#clock)
      const now = this.#mayWait()
      if (now <= gathered || this.#clock.monotonicMs() >= untilMs) return
      gathered = now
    }
  }
}

/** Everything that is ready to run in this turn of the event loop has run. */
export function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.defer(resolve))
}
