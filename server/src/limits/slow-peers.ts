import { limits } from '@quorumkv/internal/base'

/** Somebody at the other end of a stream or a connection. */
export interface Peer {
  /** How many bytes wait for it now. */
  readonly writableLength: number
  /** How many it has taken so far. */
  taken(): number
  /** Since when something has come only in part, on the clock of `performance.now`. Undefined: nothing has. */
  readonly incompleteSinceMs?: number | undefined
  /** Ends it, and lets go of what waits. Called again where that has not been heard of in time: then nothing may be left of it. */
  cut(again: boolean): void
}

/** Watches over those for whom something may wait. */
export type Readers = Pick<SlowPeers, 'add' | 'remove'>

interface Seen {
  /** It has taken all that waited when it was last looked at, once it has taken so many bytes. */
  goal: number
  /** Since when that has been so. Undefined: nothing waits. */
  sinceMs: number | undefined
  cutMs: number | undefined
}

export interface SlowPeersOptions {
  /** Who has not taken in so long what waited for it is cut off. */
  readonly stallMs: number
  /** So is who does not come to the end of a message in so long. */
  readonly messageMs: number
  /** Who is still there so long after is cut off again. */
  readonly graceMs?: number
  /** How often they are looked at. */
  readonly checkMs: number
  /** Called after somebody has been cut off. */
  readonly onCut?: (why: string) => void
}

/**
 * Cuts off those who do not take what waits for them, and those who begin a message and do not end it: either way they hold
 * memory, and whoever opens many connections and does so on each of them would hold all of it. All that waits at one
 * time must have been taken `stallMs` later: to take a little of it now and then gains nothing, and nobody makes
 * a byte wait for more than twice that time.
 */
export class SlowPeers {
  readonly #options: SlowPeersOptions
  readonly #peers = new Map<Peer, Seen>()
  readonly #timer: NodeJS.Timeout
  #cut = 0

  constructor(options: SlowPeersOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#look(performance.now()), options.checkMs)
    this.#timer.unref()
  }

  /** How many were cut off. */
  get cut(): number {
    return this.#cut
  }

  add(peer: Peer): void {
    this.#peers.set(peer, { goal: 0, sinceMs: undefined, cutMs: undefined })
  }

  remove(peer: Peer): void {
    this.#peers.delete(peer)
  }

  /** Nobody is looked at any more. Idempotent. */
  stop(): void {
    clearInterval(this.#timer)
    this.#peers.clear()
  }

  /** Cuts somebody off; with `whole`, so that nothing is left of it, not even its connection. */
  end(peer: Peer, why: string, whole: boolean = false): void {
    const seen = this.#peers.get(peer)
    if (seen === undefined || seen.cutMs !== undefined) return
    seen.cutMs = performance.now()
    this.#cut++
    peer.cut(whole)
    this.#options.onCut?.(why)
  }

  /** Those who make somebody wait, who has done so for longest first. Those who have been cut off are not among them. */
  waiting(): Peer[] {
    const since = ({ sinceMs }: Seen): number => sinceMs ?? Number.POSITIVE_INFINITY
    return [...this.#peers]
      .filter(([{ writableLength }, { cutMs }]) => writableLength > 0 && cutMs === undefined)
      .sort(([, one], [, other]) => (since(one) < since(other) ? -1 : 1))
      .map(([peer]) => peer)
  }

  /**
   * Of those who are `meant` cuts off the one who has made somebody wait for longest, where that is for `leastMs` or longer. False:
   * none is.
   */
  endLongest(why: string, meant: (peer: Peer) => boolean, leastMs: number): boolean {
    let longest: Peer | undefined
    const nowMs = performance.now()
    let sinceMs = nowMs - leastMs
    for (const [peer, seen] of this.#peers) {
      // Who has not been looked at since it began has just begun; who has taken everything since then makes nobody wait.
      const itsMs = peer.writableLength > 0 ? (seen.sinceMs ?? nowMs) : Number.POSITIVE_INFINITY
      if (seen.cutMs !== undefined || itsMs > sinceMs || !meant(peer)) continue
      longest = peer
      sinceMs = itsMs
    }
    if (longest !== undefined) this.end(longest, why)
    return longest !== undefined
  }

  #look(nowMs: number): void {
    const { graceMs, messageMs } = this.#options
    for (const [peer, seen] of this.#peers) {
      const { incompleteSinceMs } = peer
      if (seen.cutMs !== undefined) {
        if (nowMs - seen.cutMs < (graceMs ?? limits.cutGraceMs)) continue
        this.#peers.delete(peer)
        peer.cut(true)
      } else if (incompleteSinceMs !== undefined && nowMs - incompleteSinceMs >= messageMs) {
        this.end(peer, 'it did not come to the end of what it began to send')
      } else if (this.#stands(peer, seen, nowMs)) {
        this.end(peer, 'it did not take what waited for it')
      }
    }
  }

  #stands(peer: Peer, seen: Seen, nowMs: number): boolean {
    const { writableLength } = peer
    if (writableLength === 0) {
      seen.sinceMs = undefined
      return false
    }
    const taken = peer.taken()
    if (seen.sinceMs !== undefined && taken < seen.goal) return nowMs - seen.sinceMs >= this.#options.stallMs
    seen.goal = taken + writableLength
    seen.sinceMs = nowMs
    return false
  }
}
