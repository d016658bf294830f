import { invalidArgument, KvError, limits } from '../base/index.js'
import { Group } from './group.js'

/** The groups that wait to be written, oldest first; the last one is open. Bounded by `limits.logQueueBytesMax`. */
export class GroupQueue {
  readonly #groups: Group[] = []
  /** Groups that have been through: their buffers are used again. */
  readonly #spare: Group[] = []
  #bytes = 0
  /** The group that `groupFor` gave last. */
  #newest: Group | undefined
  /** The last group that somebody waits for who will bring nothing more. */
  #pressing: Group | undefined

  get empty(): boolean {
    return this.#groups.length === 0
  }

  /** How many commits the next group has so far. */
  get nextCommits(): number {
    return this.#groups[0]?.commits ?? 0
  }

  /**
   * How many commits of the next group may wait for others to join them. None where no more fit in, or where somebody
   * waits for all.
   */
  get mayWait(): number {
    return this.#groups.length === 1 && this.#pressing === undefined ? this.nextCommits : 0
  }

  /**
   * The group for the next `bytes` of records, which the caller adds before it does anything else. Throws KvError
   * `overloaded`, or `invalid-argument` for what no frame can hold.
   */
  groupFor(bytes: number): Group {
    if (bytes > limits.logFrameBytesMax) {
      throw invalidArgument('records', `take ${bytes} bytes, a commit may have ${limits.logFrameBytesMax}`)
    }
    if (this.#bytes + bytes > limits.logQueueBytesMax) {
      throw new KvError('overloaded', `${this.#bytes} bytes wait for the log`, { outcome: 'not-applied' })
    }
    let group = this.#groups.at(-1)
    if (group === undefined || !group.fits(bytes)) {
      group = this.#spare.pop() ?? new Group()
      this.#groups.push(group)
    }
    this.#newest = group
    this.#bytes += bytes
    return group
  }

  /** The oldest group; nothing more is added to it. */
  take(): Group | undefined {
    const group = this.#groups.shift()
    if (group === undefined) return undefined
    this.#bytes -= group.payloadBytes
    if (group === this.#pressing) this.#pressing = undefined
    return group
  }

  /** Calls `told`, perhaps at once, when everybody who has joined a group so far has been told what became of it. */
  whenSettled(told: () => void): void {
    const newest = this.#newest
    // Nobody waits in it any more: its waiters have been told, and groups are settled in their order.
    if (newest === undefined || newest.commits === 0) told()
    else {
      newest.join({ durable: told, failed: told })
      if (newest === this.#groups.at(-1)) this.#pressing = newest
    }
  }

  /** Takes back a group whose waiters have been told. */
  recycle(group: Group): void {
    if (this.#spare.length < 2 && group.capacity <= limits.logBufferKeptBytesMax) this.#spare.push(group)
  }

  /** Nothing of what waits was written. */
  rejectAll(error: KvError): void {
    this.#bytes = 0
    this.#pressing = undefined
    for (const group of this.#groups.splice(0)) group.failed(error)
  }
}
