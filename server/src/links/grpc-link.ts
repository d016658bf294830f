import { assert, limits } from '@quorumkv/internal/base'
import type { Link, LinkHandlers, PeerProof } from '@quorumkv/internal/env'
import type { Exchange } from './exchange.js'
import type { LinkTraffic } from './link-traffic.js'

/**
 * A link over one stream. It counts what is unsent in bytes, where gRPC counts messages, so that a few large ones and
 * many small ones are held back alike.
 */
export class GrpcLink implements Link {
  readonly #exchange: Exchange
  readonly #onClose: () => void
  readonly #traffic: LinkTraffic
  #handlers: LinkHandlers | undefined
  #unsentBytes = 0
  #owesDrain = false
  #closed = false

  /** `onClose` is called once, when the link is gone, before its handlers are told. Messages are counted in `traffic`. */
  constructor(exchange: Exchange, traffic: LinkTraffic, onClose: () => void) {
    this.#traffic = traffic
    this.#exchange = exchange
    this.#onClose = onClose
  }

  get remote(): string {
    return this.#exchange.remote
  }

  get proved(): PeerProof | undefined {
    return this.#exchange.proved
  }

  start(handlers: LinkHandlers): void {
    this.#handlers = handlers
    this.#exchange.start({
      // Not as a Buffer, whose slice() is a view where that of every other array is a copy.
      message: (bytes) => {
        this.#traffic.messagesReceived++
        this.#traffic.bytesReceived += bytes.length
        handlers.message(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length))
      },
      close: (reason) => {
        this.#closed = true
        this.#onClose()
        // Not within the call that closed it: whoever closes a link is in the middle of something.
        setImmediate(() => handlers.close(reason))
      },
    })
  }

  send(message: Uint8Array): boolean {
    if (this.#closed) return false
    assert(message.length <= limits.messageBytesMax, `a message of ${message.length} bytes`)
    this.#traffic.messagesSent++
    this.#traffic.bytesSent += message.length
    this.#unsentBytes += message.length
    this.#exchange.send(message, () => this.#taken(message.length))
    if (this.#unsentBytes < limits.linkSendMarkBytes) return true
    this.#owesDrain = true
    return false
  }

  close(reason: string): void {
    this.#exchange.close(reason)
  }

  #taken(bytes: number): void {
    this.#unsentBytes -= bytes
    if (!this.#owesDrain || this.#unsentBytes > limits.linkSendMarkBytes / 2) return
    this.#owesDrain = false
    this.#handlers?.drain()
  }
}
