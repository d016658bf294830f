import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { limits } from '../../base/index.js'
import type { Clock, Link, PeerProof } from '../../env/index.js'
import type { Hlc } from '../../hlc/index.js'
import { decodeMessage } from './message-codec.js'
import { Outbox } from './outbox.js'

/** What every message carries. */
export interface Envelope {
  hlc(): Hlc
  epoch(): number
}

export interface PeerLinkHandlers {
  message(message: PeerMessage): void
  /** Called once; nothing follows. */
  close(reason: string): void
}

/**
 * A link on which messages batch themselves: what one turn of the event loop has to say leaves together, or earlier
 * when the batch is full, so that a busy link sends few messages and an idle one waits for nothing.
 */
export class PeerLink {
  readonly remote: string
  /** The node at the other end, once it has said its name; empty: it has not. */
  peer = ''
  /** See `Link.proved`. */
  readonly proved: PeerProof | undefined
  readonly #link: Link
  readonly #clock: Clock
  readonly #envelope: Envelope
  readonly #outbox = new Outbox()
  readonly #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #congested = false
  #flushing = false
  #open = true

  constructor(link: Link, clock: Clock, envelope: Envelope, handlers: PeerLinkHandlers) {
    this.remote = link.remote
    this.proved = link.proved
    this.#link = link
    this.#clock = clock
    this.#envelope = envelope
    link.start({
      message: (bytes) => this.#received(bytes, handlers),
      drain: () => this.#drain(),
      close: (reason) => {
        this.#open = false
        this.#outbox.clear()
        this.#waiting.length = 0
        this.#waitingBytes = 0
        handlers.close(reason)
      },
    })
  }

  get open(): boolean {
    return this.#open
  }

  /** Bytes that wait here because the other side does not read fast enough. */
  get queuedBytes(): number {
    return this.#outbox.bytes + this.#waitingBytes
  }

  get overloaded(): boolean {
    return this.queuedBytes > limits.linkQueueBytesMax
  }

  /** Not even short refusals are read any more: the other end is to be given up. */
  get hopeless(): boolean {
    return this.queuedBytes > 2 * limits.linkQueueBytesMax
  }

  /** The batch to add something of about `bytes` to; it leaves by itself when the event loop turns. */
  outbox(bytes: number): Outbox {
    if (!this.#outbox.hasRoom(bytes)) this.#flush()
    if (!this.#flushing) {
      this.#flushing = true
      this.#clock.defer(() => {
        this.#flushing = false
        this.#flush()
      })
    }
    return this.#outbox
  }

  /** For what should not wait for the turn of the loop: the handshake. */
  sendNow(part: Partial<PeerMessage>): void {
    this.#flush()
    this.#outbox.addControl(part)
    this.#flush()
  }

  close(reason: string): void {
    if (!this.#open) return
    this.#flush()
    this.#link.close(reason)
  }

  #received(bytes: Uint8Array, handlers: PeerLinkHandlers): void {
    if (!this.#open) return
    let message: PeerMessage
    try {
      message = decodeMessage(bytes)
    } catch (error) {
      this.close(`malformed message: ${error instanceof Error ? error.message : String(error)}`)
      return
    }
    handlers.message(message)
  }

  #flush(): void {
    if (this.#outbox.empty) return
    if (!this.#open) {
      this.#outbox.clear()
      return
    }
    const bytes = this.#outbox.encode(this.#envelope.hlc(), this.#envelope.epoch(), this.#clock.wallMs())
    if (this.#congested) {
      this.#waiting.push(bytes)
      this.#waitingBytes += bytes.length
    } else if (!this.#link.send(bytes)) {
      this.#congested = true
    }
  }

  #drain(): void {
    this.#congested = false
    while (!this.#congested) {
      const bytes = this.#waiting.shift()
      if (bytes === undefined) return
      this.#waitingBytes -= bytes.length
      if (!this.#link.send(bytes)) this.#congested = true
    }
  }
}
