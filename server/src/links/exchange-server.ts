import type { ServerDuplexStream } from '@grpc/grpc-js'
import type { PeerProof } from '@quorumkv/internal/env'
import { asBuffer } from '../calls/messages.js'
import type { Exchange, ExchangeHandlers } from './exchange.js'

/** The called end of a stream between two nodes, on the gRPC server that clients use too. */
export class ExchangeServer implements Exchange {
  readonly remote: string
  readonly proved: PeerProof | undefined
  readonly #call: ServerDuplexStream<Buffer, Buffer>
  #handlers: ExchangeHandlers | undefined
  #closeReason: string | undefined

  constructor(call: ServerDuplexStream<Buffer, Buffer>, proved: PeerProof | undefined) {
    this.remote = call.getPeer()
    this.proved = proved
    this.#call = call
    call.on('error', (error) => this.close(error.message))
    call.on('end', () => this.close('the other side ended the stream'))
    call.on('cancelled', () => this.close('the other side closed the stream, or the connection was lost'))
    call.on('close', () => this.close('the connection was lost'))
  }

  start(handlers: ExchangeHandlers): void {
    this.#handlers = handlers
    if (this.#closeReason !== undefined) {
      handlers.close(this.#closeReason)
      return
    }
    this.#call.on('data', (message: Buffer) => {
      if (this.#closeReason === undefined) handlers.message(message)
    })
  }

  send(message: Uint8Array, taken: () => void): void {
    if (this.#closeReason !== undefined) return
    this.#call.write(asBuffer(message), (error?: Error | null) => {
      if (this.#closeReason === undefined && !error) taken()
    })
  }

  close(reason: string): void {
    if (this.#closeReason !== undefined) return
    this.#closeReason = reason
    this.#call.end()
    this.#handlers?.close(reason)
  }
}
