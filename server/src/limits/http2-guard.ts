import {
  constants,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { status } from '@grpc/grpc-js'
import { assert, limits } from '@quorumkv/internal/base'
import type { Log } from '@quorumkv/internal/env'
import { ConnectionGate, type ConnectionLimits } from './connection-gate.js'
import { type Peer, SlowPeers } from './slow-peers.js'

/** Of a message of gRPC: whether it is compressed, and how long it is. */
const prefixBytes = 5

export interface Http2GuardOptions extends Partial<ConnectionLimits> {
  readonly log: Log
  /** Whether callers of this method may send many messages. */
  readonly takesStream: (path: string) => boolean
  /** Limits that tests make small; what is left out is as in `limits`. */
  readonly receivedBytesMax?: number
  readonly readerStallMs?: number
  readonly messageMs?: number
  readonly checkMs?: number
}

/** A server of HTTP/2, encrypted or not. */
export type GuardedHttp2Server = Http2Server | Http2SecureServer
type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => void

/** As HTTP/2 counts them: names, values, and 32 bytes for each. Node tells the other end of a limit, and does not hold it. */
function headerBytes(headers: IncomingHttpHeaders): number {
  let bytes = 0
  for (const name in headers) bytes += name.length + String(headers[name]).length + 32
  return bytes
}

/** What is counted of one stream. */
class GuardedStream implements Peer {
  readonly #stream: ServerHttp2Stream
  readonly #manyMessages: boolean
  #written = 0
  /** Bytes of a message that is not complete, or of all of them where there is to be one only. */
  held = 0
  /** Bytes of the message under way that are still to come. */
  #missing = 0
  #prefixSeen = 0
  #length = 0
  /** Since when a message is on its way. Who may send one only has begun with the call. */
  incompleteSinceMs: number | undefined
  /** It is about to be ended. */
  refused = false

  constructor(stream: ServerHttp2Stream, manyMessages: boolean) {
    this.#stream = stream
    this.#manyMessages = manyMessages
    this.incompleteSinceMs = manyMessages ? undefined : performance.now()
    const { write } = stream
    // What was written and does not wait has been taken: streams of HTTP/2 count neither.
    stream.write = (chunk: Buffer, ...rest: unknown[]): boolean => {
      this.#written += chunk.length
      return Reflect.apply(write, stream, [chunk, ...rest]) as boolean
    }
  }

  get writableLength(): number {
    return this.#stream.writableLength
  }

  taken(): number {
    return this.#written - this.#stream.writableLength
  }

  cut(): void {
    this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  /** Nothing more comes. */
  ended(): void {
    this.incompleteSinceMs = undefined
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
    if (this.held === 0) this.incompleteSinceMs = undefined
    else if (complete || this.incompleteSinceMs === undefined) this.incompleteSinceMs = performance.now()
  }
}

/**
 * Stands between the connections of a gRPC server and the library that serves them, and holds the limits that the library has
 * none for: connections in all and from one address, memory for messages that do not come to an end, readers that take
 * nothing, and compression, of which a few kilobytes would become megabytes.
 */
export class Http2Guard {
  readonly gate: ConnectionGate
  readonly peers: SlowPeers
  readonly #options: Http2GuardOptions
  readonly #receivedBytesMax: number
  /** Connections without a stream, the one that has been so for longest first. */
  readonly #idle = new Set<ServerHttp2Session>()
  readonly #streams = new WeakMap<ServerHttp2Session, { open: number }>()
  #receivedBytes = 0

  constructor(options: Http2GuardOptions) {
    const { log, connectionsMax, perAddressMax, readerStallMs, messageMs, checkMs } = options
    this.#options = options
    this.#receivedBytesMax = options.receivedBytesMax ?? limits.receivedBytesMax
    this.gate = new ConnectionGate({
      protocol: 'gRPC',
      log,
      connectionsMax: connectionsMax ?? limits.connectionsMax,
      perAddressMax: perAddressMax ?? limits.connectionsPerAddressMax,
      makeRoom: () => this.#closeIdle(),
    })
    this.peers = new SlowPeers({
      stallMs: readerStallMs ?? limits.readerStallMs,
      messageMs: messageMs ?? limits.messageMsMax,
      checkMs: checkMs ?? limits.slowCheckMs,
      onCut: (why) => log.info('a call was cut off', { protocol: 'gRPC', why }),
    })
  }

  /** Bytes of messages that have not come to their end. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** Stands before whoever listens to a server by now. */
  guard(server: GuardedHttp2Server): void {
    this.gate.guard(server)
    server.on('session', (session: ServerHttp2Session) => this.#begin(session))
    const listeners = server.listeners('stream') as StreamListener[]
    server.removeAllListeners('stream')
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => {
      if (!this.#admit(stream, headers)) return
      for (const listener of listeners) listener.call(server, stream, headers, flags)
    })
  }

  stop(): void {
    this.peers.stop()
  }

  #begin(session: ServerHttp2Session): void {
    this.#streams.set(session, { open: 0 })
    this.#idle.add(session)
    session.once('close', () => this.#idle.delete(session))
  }

  /** A connection on which nothing is asked can be made again when it is needed. */
  #closeIdle(): boolean {
    const [oldest] = this.#idle
    if (oldest === undefined) return false
    this.#idle.delete(oldest)
    oldest.destroy()
    return true
  }

  #admit(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    const encoding = headers['grpc-encoding']
    if (encoding !== undefined && encoding !== 'identity') {
      this.#refuse(stream, status.UNIMPLEMENTED, 'messages must not be compressed', {
        'grpc-accept-encoding': 'identity',
      })
      return false
    }
    if (headerBytes(headers) > limits.callHeaderBytesMax) {
      const message = `headers must be at most ${limits.callHeaderBytesMax} bytes`
      this.#refuse(stream, status.RESOURCE_EXHAUSTED, message, {})
      return false
    }
    const { session } = stream
    // The connection has ended while this stream was on its way here.
    if (session === undefined) return false
    this.#count(session as ServerHttp2Session, stream)
    const guarded = new GuardedStream(stream, this.#options.takesStream(headers[':path'] ?? ''))
    this.peers.add(guarded)
    stream.on('data', (chunk: Buffer) => {
      this.#receivedBytes += guarded.received(chunk)
      if (this.#receivedBytes <= this.#receivedBytesMax || guarded.refused) return
      guarded.refused = true
      // Not while the connection is being read: Node would go round in circles.
      setImmediate(() => guarded.cut())
    })
    stream.once('end', () => guarded.ended())
    stream.once('close', () => {
      this.peers.remove(guarded)
      this.#receivedBytes -= guarded.held
      guarded.held = 0
    })
    return true
  }

  #count(session: ServerHttp2Session, stream: ServerHttp2Stream): void {
    const streams = this.#streams.get(session)
    assert(streams !== undefined, 'a connection begins before its streams')
    if (streams.open++ === 0) this.#idle.delete(session)
    stream.once('close', () => {
      if (--streams.open === 0 && !session.closed && !session.destroyed) this.#idle.add(session)
    })
  }

  #refuse(stream: ServerHttp2Stream, code: status, message: string, more: Readonly<Record<string, string>>): void {
    // What goes wrong while somebody is told that he is refused is his own affair; the stream closes all the same.
    stream.on('error', () => undefined)
    const answer = { ':status': 200, 'content-type': 'application/grpc+proto', 'grpc-status': code, ...more }
    stream.respond({ ...answer, 'grpc-message': message }, { endStream: true })
    stream.close(constants.NGHTTP2_NO_ERROR)
  }
}
