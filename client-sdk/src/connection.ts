import { connect as connectSocket, type Socket } from 'node:net'
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js'
import { parseEndpoint } from './endpoints.js'
import { KvError } from './errors.js'
import type { ClientConfig } from './options.js'
import { type Break, breakOf } from './status.js'
import { Transport } from './transport.js'

export interface ConnectionEvents {
  onReady(): void
  /** A SessionResponse. Throws where it cannot be read; the connection is then broken. */
  onMessage(bytes: Buffer): void
  /** The stream takes messages again after `write` returned false. */
  onDrain(): void
  /** Comes once, and is the last event: the connection could not be made, or has broken. */
  onBroken(reason: Break): void
}

/** One connection to a node with its session stream, from the first packet to the last. After `destroy` it is silent. */
export class Connection {
  readonly address: string
  private readonly config: ClientConfig
  private readonly events: ConnectionEvents
  private readonly timer: NodeJS.Timeout
  private socket: Socket | undefined
  private transport: Transport | undefined
  private stream: ClientDuplexStream<Buffer, Buffer> | undefined
  private ended = false
  private heard = false

  constructor(address: string, config: ClientConfig, events: ConnectionEvents) {
    this.address = address
    this.config = config
    this.events = events
    // gRPC would wait for ever for a node that takes the connection and says nothing.
    this.timer = setTimeout(() => {
      const message = `${address}: did not answer within ${config.connectTimeoutMs} ms`
      this.break({ error: new KvError('unavailable', message, { node: address }), refused: true })
    }, config.connectTimeoutMs)
    this.timer.unref()
    this.knock()
  }

  /** False: wait for `onDrain` before writing more. */
  write(message: Buffer): boolean {
    return this.stream!.write(message)
  }

  /** For calls beside the session; only once `onReady` has come. */
  get channel(): Transport {
    return this.transport!
  }

  destroy(): void {
    this.ended = true
    clearTimeout(this.timer)
    this.socket?.destroy()
    this.stream?.cancel()
    this.transport?.destroy()
  }

  /**
   * Opens a plain TCP connection first and drops it again. gRPC's own attempt cannot be called off: towards a machine
   * that is switched off it would keep the process alive for minutes after the client was closed.
   */
  private knock(): void {
    const { host, port } = parseEndpoint(this.address)!
    const socket = connectSocket({ host, port })
    this.socket = socket
    socket.unref()
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      // Where a name has several addresses the error is an AggregateError without a message.
      const message = `${this.address}: ${cause.message || `connect ${cause.code}`}`
      this.break({ error: new KvError('unavailable', message, { node: this.address, cause }), refused: true })
    })
    socket.once('connect', () => {
      socket.destroy()
      if (!this.ended) this.open()
    })
  }

  private open(): void {
    const transport = new Transport(this.address, this.config.tls)
    const stream = transport.session()
    this.transport = transport
    this.stream = stream
    stream.on('data', (bytes: Buffer) => {
      if (!this.ended) this.receive(bytes)
    })
    stream.on('drain', () => {
      if (!this.ended) this.events.onDrain()
    })
    stream.on('error', (error: ServiceError) => this.break(breakOf(error, this.address, this.heard)))
    stream.on('end', () => {
      const error = new KvError('unavailable', `${this.address}: ended the session`, { node: this.address })
      this.break({ error, refused: false })
    })
    transport.whenReady(() => {
      if (this.ended) return
      clearTimeout(this.timer)
      this.events.onReady()
    })
  }

  private receive(bytes: Buffer): void {
    this.heard = true
    try {
      this.events.onMessage(bytes)
    } catch (cause) {
      const message = `${this.address}: sent what this client cannot read`
      this.break({ error: new KvError('unavailable', message, { node: this.address, cause }), refused: false })
    }
  }

  private break(reason: Break): void {
    if (this.ended) return
    this.destroy()
    this.events.onBroken(reason)
  }
}
