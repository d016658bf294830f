import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Connection } from './idle-connections.js'
import type { Peer } from './slow-peers.js'

/** Of a message of gRPC: whether it is compressed, and how long it is. */
const prefixBytes = 5

/** What is counted of one call: of the messages that come, and of the answers that wait. */
export class GuardedStream implements Peer {
  readonly #stream: ServerHttp2Stream
  /** Undefined: it has ended already. */
  readonly connection: Connection | undefined
  /** Who calls: all that come from one address count together. */
  readonly address: string
  readonly #manyMessages: boolean
  #written = 0
  /** Bytes of a message that is not complete, or of what has come where there is to be one only. */
  held = 0
  /** Bytes of the message under way that are still to come. */
  #missing = 0
  #prefixSeen = 0
  #length = 0
  #incompleteSinceMs: number | undefined
  isCut = false

  /** Calls `onAnswer` when so many bytes have been written. */
  constructor(
    stream: ServerHttp2Stream,
    connection: Connection | undefined,
    manyMessages: boolean,
    onAnswer: (of: GuardedStream, bytes: number) => void,
  ) {
    this.#stream = stream
    this.connection = connection
    this.address = connection?.address ?? ''
    this.#manyMessages = manyMessages
    this.#incompleteSinceMs = manyMessages ? undefined : performance.now()
    const { write } = stream
    // What was written and does not wait has been taken: streams of HTTP/2 count neither.
    stream.write = (chunk: Buffer, ...rest: unknown[]): boolean => {
      this.#written += chunk.length
      const more = Reflect.apply(write, stream, [chunk, ...rest]) as boolean
      onAnswer(this, chunk.length)
      return more
    }
  }

  /**
   * Since when a message is on its way. Who may send one only has begun with the call. Where this side does not read, as results of
   * a session wait for its client, that is nobody's fault who sends: its time begins anew.
   */
  get incompleteSinceMs(): number | undefined {
    if (this.#incompleteSinceMs !== undefined && this.#stream.isPaused()) this.#incompleteSinceMs = performance.now()
    return this.#incompleteSinceMs
  }

  get writableLength(): number {
    return this.#stream.writableLength
  }

  taken(): number {
    return this.#written - this.#stream.writableLength
  }

  /**
   * Never call this from what Node calls while it reads a connection: the HTTP/2 library below must not be entered again then, and
   * would corrupt its memory, or go round in circles and fill it (nodejs/node#38964).
   *
   * A reset goes no further than to a connection that takes nothing, or whose other end has broken the protocol:
   * Node stops reading such a one, and does not close it.
   */
  cut(again: boolean): void {
    this.isCut = true
    if (again) this.connection?.close()
    else this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  /** Nothing more comes. Returns how much is held no more. */
  ended(): number {
    this.#incompleteSinceMs = undefined
    const { held } = this
    this.held = 0
    return held
  }

  /** Counts what has come; returns by how much more, or less, is held now. */
  received(chunk: Buffer): number {
    const before = this.held
    if (!this.#manyMessages) this.held += chunk.length
    else this.#follow(chunk)
    return this.held - before
  }

  #follow(chunk: Buffer): void {
    let at = 0
    let complete = false
    while (at < chunk.length) {
      if (this.#missing === 0) {
        const byte = chunk[at++]!
        this.held++
        // The first byte says whether the message is compressed; then comes its length.
        if (this.#prefixSeen > 0) this.#length = this.#length * 256 + byte
        if (++this.#prefixSeen < prefixBytes) continue
        this.#missing = this.#length
        this.#prefixSeen = 0
        this.#length = 0
        if (this.#missing > 0) continue
        this.held = 0
        complete = true
        continue
      }
      const part = Math.min(this.#missing, chunk.length - at)
      at += part
      this.#missing -= part
      this.held = this.#missing === 0 ? 0 : this.held + part
      complete ||= this.#missing === 0
    }
    if (this.held === 0) this.#incompleteSinceMs = undefined
    else if (complete || this.#incompleteSinceMs === undefined) this.#incompleteSinceMs = performance.now()
  }
}
