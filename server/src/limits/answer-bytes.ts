import { GuardedStream } from './guarded-stream.js'
import type { SlowPeers } from './slow-peers.js'

/** Answers are counted exactly so often at most: what leaves is not told, and to look at all calls takes time. */
const recountMs = 10

/**
 * Bounds the answers that wait for clients, of all calls. Where they are too many, the connections are closed that have made theirs
 * wait for longest, until a quarter of the room is free: a reset would leave in memory what has been handed to a connection that
 * takes nothing. To refuse new answers in their place would let whoever does not read keep out whoever does; that is done only
 * until somebody has been cut off, which has to wait until nothing is read. Thousands of calls may come in what is read at
 * one time, and their answers would all be made before.
 */
export class AnswerBytes {
  readonly #bytesMax: number
  readonly #peers: SlowPeers
  readonly #streams = new Set<GuardedStream>()
  /** What waited when each call was last looked at: never less than what waits. */
  #bytes = 0
  #recounting: NodeJS.Timeout | undefined

  constructor(bytesMax: number, peers: SlowPeers) {
    this.#bytesMax = bytesMax
    this.#peers = peers
  }

  /** Whether answers are too many, and nobody has been cut off yet. Those who have been do not count. */
  get isFull(): boolean {
    return this.#bytes > this.#bytesMax
  }

  /** Bytes that wait now. */
  get waiting(): number {
    this.#countAll()
    return this.#bytes
  }

  /** A call has been answered, or a part of its answer written. */
  answered(stream: GuardedStream): void {
    this.#streams.add(stream)
    this.#count(stream)
    // Not at once: who is cut off must not be while Node reads a connection.
    if (this.#bytes > this.#bytesMax) this.#recounting ??= setTimeout(() => this.#recount(), recountMs).unref()
  }

  /** A call is over. */
  remove(stream: GuardedStream): void {
    if (!this.#streams.delete(stream)) return
    this.#bytes -= stream.counted
    stream.counted = 0
  }

  #count(stream: GuardedStream): void {
    const waiting = stream.writableLength
    this.#bytes += waiting - stream.counted
    stream.counted = waiting
  }

  #countAll(): void {
    for (const stream of this.#streams) this.#count(stream)
  }

  #recount(): void {
    this.#recounting = undefined
    this.#countAll()
    if (this.#bytes <= this.#bytesMax) return
    const streams = new Map<object | undefined, GuardedStream[]>()
    for (const stream of this.#streams) {
      const others = streams.get(stream.connection)
      if (others === undefined) streams.set(stream.connection, [stream])
      else others.push(stream)
    }
    const enough = Math.floor((this.#bytesMax * 3) / 4)
    for (const peer of this.#peers.waiting()) {
      if (this.#bytes <= enough) return
      if (!(peer instanceof GuardedStream) || !this.#streams.has(peer)) continue
      const all = streams.get(peer.connection) ?? [peer]
      this.#peers.end(peer, 'too many answers wait, and it has not taken its own for longest', true)
      for (const stream of all) this.remove(stream)
    }
  }
}
