import { GuardedStream } from './guarded-stream.js'
import { Shares } from './shares.js'
import type { SlowPeers } from './slow-peers.js'

/** Answers are counted exactly so often at most: what leaves is not told, and to look at all calls takes time. */
const recountMs = 10

function grouped<T, K>(all: Iterable<T>, keyOf: (one: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const one of all) {
    const key = keyOf(one)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [one])
    else group.push(one)
  }
  return groups
}

/**
 * Bounds the answers that wait for clients, of all calls. Where they are too many, connections are closed until a quarter of the room
 * is free, of the address with most of them the one first that has made its own wait for longest: a reset would leave in memory what
 * has been handed to a connection that takes nothing. To refuse new answers in their place would let whoever does not read keep
 * out whoever does; that is done only until somebody has been cut off, which has to wait until nothing is read. Thousands of
 * calls may come in what is read at one time, and their answers would all be made before.
 */
export class AnswerBytes {
  readonly #bytesMax: number
  readonly #peers: SlowPeers
  readonly #streams = new Set<GuardedStream>()
  /** What waited when each call was last looked at: never less than what waits. */
  readonly #shares = new Shares<GuardedStream>()
  #recounting: NodeJS.Timeout | undefined

  constructor(bytesMax: number, peers: SlowPeers) {
    this.#bytesMax = bytesMax
    this.#peers = peers
  }

  /** Whether answers are too many, and nobody has been cut off yet. Those who have been do not count. */
  get isFull(): boolean {
    return this.#shares.bytes > this.#bytesMax
  }

  /** Bytes that wait now. */
  get waiting(): number {
    this.#countAll()
    return this.#shares.bytes
  }

  /** A call has been answered, or a part of its answer written. */
  answered(stream: GuardedStream): void {
    this.#streams.add(stream)
    this.#shares.set(stream, stream.writableLength)
    // Not at once: who is cut off must not be while Node reads a connection.
    if (this.isFull) this.#recounting ??= setTimeout(() => this.#recount(), recountMs).unref()
  }

  /** A call is over. */
  remove(stream: GuardedStream): void {
    if (this.#streams.delete(stream)) this.#shares.set(stream, 0)
  }

  #countAll(): void {
    for (const stream of this.#streams) this.#shares.set(stream, stream.writableLength)
  }

  #recount(): void {
    this.#recounting = undefined
    this.#countAll()
    if (!this.isFull) return
    const byConnection = grouped(this.#streams, ({ connection }) => connection)
    const counted = this.#peers.waiting().filter((peer) => peer instanceof GuardedStream && this.#streams.has(peer))
    // The one last that has waited for longest: it is the first to be taken away.
    const byAddress = grouped((counted as GuardedStream[]).reverse(), ({ address }) => address)
    const enough = Math.floor((this.#bytesMax * 3) / 4)
    while (this.#shares.bytes > enough) {
      const address = this.#largestOf(byAddress)
      if (address === undefined) return
      const longest = byAddress.get(address)!.pop()!
      // Its connection has been closed with another call.
      if (!this.#streams.has(longest)) continue
      this.#peers.end(longest, 'too many answers wait, and it has not taken its own for longest', true)
      for (const stream of byConnection.get(longest.connection) ?? [longest]) this.remove(stream)
    }
  }

  /** Of these addresses, all of which may have nobody left to cut off, the one with most. */
  #largestOf(byAddress: ReadonlyMap<string, readonly GuardedStream[]>): string | undefined {
    let largest: string | undefined
    let most = 0
    for (const [address, { length }] of byAddress) {
      const bytes = this.#shares.bytesOf(address)
      if (length === 0 || bytes <= most) continue
      largest = address
      most = bytes
    }
    return largest
  }
}
