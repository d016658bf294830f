/** Somebody at the other end of a stream or a connection. */
export interface Peer {
  /** How many bytes wait for it now. */
  readonly writableLength: number
  /** How many it has taken so far. */
  taken(): number
  /** Since when something has come only in part, on the clock of `performance.now`. Undefined: nothing has. */
  readonly incompleteSinceMs?: number | undefined
  /** Ends it, and lets go of what waits. */
  cut(): void
}

interface Seen {
  taken: number
  /** Since when the same waits. Undefined: nothing does. */
  sinceMs: number | undefined
}

export interface SlowPeersOptions {
  /** Who takes nothing of what waits for so long is cut off. */
  readonly stallMs: number
  /** So is who does not come to the end of a message in so long. */
  readonly messageMs: number
  /** How often they are looked at. */
  readonly checkMs: number
  /** Called after somebody has been cut off. */
  readonly onCut?: (why: string) => void
}

/**
 * Cuts off those who take nothing while something waits for them, and those who begin a message and do not end it: either way
 * they hold memory, and whoever opens many connections and does so on each of them would hold all of it. What is
 * written is taken piece by piece, each of them a message or a part of a body; who trickles is taken for one who
 * stands still.
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
    this.#peers.set(peer, { taken: 0, sinceMs: undefined })
  }

  remove(peer: Peer): void {
    this.#peers.delete(peer)
  }

  /** Nobody is looked at any more. Idempotent. */
  stop(): void {
    clearInterval(this.#timer)
    this.#peers.clear()
  }

  #look(nowMs: number): void {
    for (const [peer, seen] of this.#peers) {
      const { incompleteSinceMs } = peer
      if (incompleteSinceMs !== undefined && nowMs - incompleteSinceMs >= this.#options.messageMs) {
        this.#end(peer, 'it did not come to the end of what it began to send')
      } else if (this.#stands(peer, seen, nowMs)) {
        this.#end(peer, 'it took nothing of what waited for it')
      }
    }
  }

  #stands(peer: Peer, seen: Seen, nowMs: number): boolean {
    if (peer.writableLength === 0) {
      seen.sinceMs = undefined
      return false
    }
    const taken = peer.taken()
    if (seen.sinceMs !== undefined && taken === seen.taken) return nowMs - seen.sinceMs >= this.#options.stallMs
    seen.taken = taken
    seen.sinceMs = nowMs
    return false
  }

  #end(peer: Peer, why: string): void {
    this.#peers.delete(peer)
    this.#cut++
    peer.cut()
    this.#options.onCut?.(why)
  }
}
