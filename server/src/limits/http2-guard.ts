import {
  constants,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import { type ServerErrorResponse, status } from '@grpc/grpc-js'
import { limits } from '@quorumkv/internal/base'
import type { Log } from '@quorumkv/internal/env'
import { AnswerBytes } from './answer-bytes.js'
import { AnswerTurns } from './answer-turns.js'
import { ConnectionGate, type ConnectionLimits } from './connection-gate.js'
import { cutLog } from './cut-log.js'
import type { DoorReading } from './door-reading.js'
import { GuardedStream } from './guarded-stream.js'
import { closeWhenAnswered } from './half-open.js'
import { type Connection, closeWithSession, IdleConnections } from './idle-connections.js'
import { Shares } from './shares.js'
import { SlowPeers } from './slow-peers.js'

export interface Http2GuardOptions extends Partial<ConnectionLimits> {
  readonly log: Log
  /** Whether callers of this method may send many messages. */
  readonly takesStream: (path: string) => boolean
  /** Is called with each server. */
  readonly watch?: (server: GuardedHttp2Server) => void
  /** Why a call is not let in, by its headers alone; undefined: it is. What its caller sends is not read then. */
  readonly refuses?: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => ServerErrorResponse | undefined
  /** Is called with each stream that is let in, before the library sees it; may change its headers. */
  readonly prepare?: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void
  /** Whether it is for other nodes, which see to it themselves that what waits for them is bounded. */
  readonly isForNodes: (path: string) => boolean
  /** Limits that tests make small; what is left out is as in `limits`. */
  readonly receivedBytesMax?: number
  readonly readerStallMs?: number
  readonly messageMs?: number
  readonly checkMs?: number
  readonly cutGraceMs?: number
  readonly answerBytesMax?: number
  readonly answerTurnBytesMax?: number
}

/** A server of HTTP/2, encrypted or not. */
export type GuardedHttp2Server = Http2Server | Http2SecureServer
/** Who is still there so long after a call was reset is on a connection that takes nothing. */
const resetMs = 100

type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => void

/** As HTTP/2 counts them: names, values, and 32 bytes for each. Node tells the other end of a limit, and does not hold it. */
function headerBytes(headers: IncomingHttpHeaders): number {
  let bytes = 0
  for (const name in headers) bytes += name.length + String(headers[name]).length + 32
  return bytes
}

const legalName = /^[:0-9a-z_.-]+$/
const legalValue = /^[ -~]*$/

/**
 * Takes away the headers that cannot be metadata of gRPC. The library passes over them as well, and writes them to standard error
 * as they are: whoever mistypes a token would find it there.
 */
function dropIllegal(headers: IncomingHttpHeaders): void {
  for (const name in headers) {
    const isText = !name.endsWith('-bin')
    if (!legalName.test(name) || (isText && !legalValue.test(String(headers[name])))) delete headers[name]
  }
}

/**
 * Stands between the connections of a gRPC server and the library that serves them, and holds the limits that the library has
 * none for: connections in all and from one address, memory for messages that do not come to an end and for answers that nobody
 * takes, and compression, of which a few kilobytes would become megabytes.
 */
export class Http2Guard {
  readonly gate: ConnectionGate
  readonly peers: SlowPeers
  readonly turns: AnswerTurns
  readonly #options: Http2GuardOptions
  readonly #receivedBytesMax: number
  readonly #idle = new IdleConnections()
  readonly #connections = new WeakMap<ServerHttp2Session, Connection>()
  readonly #answers: AnswerBytes
  /** Calls with a message that is not complete: of one address the one first that has been at it for longest. */
  readonly #incomplete = new Shares<GuardedStream>()
  /** Those that were reset for others, and since when. */
  readonly #resets = new Map<GuardedStream, number>()
  #receivedBytes = 0
  #calls = 0
  #relieving = false

  constructor(options: Http2GuardOptions) {
    const { log, connectionsMax, perAddressMax, readerStallMs, messageMs, checkMs, cutGraceMs } = options
    this.#options = options
    this.#receivedBytesMax = options.receivedBytesMax ?? limits.receivedBytesMax
    this.gate = new ConnectionGate({
      protocol: 'gRPC',
      log,
      connectionsMax: connectionsMax ?? limits.connectionsMax,
      perAddressMax: perAddressMax ?? limits.connectionsPerAddressMax,
      makeRoom: () => this.#idle.closeOne(),
    })
    this.peers = new SlowPeers({
      stallMs: readerStallMs ?? limits.readerStallMs,
      messageMs: messageMs ?? limits.messageMsMax,
      checkMs: checkMs ?? limits.slowCheckMs,
      graceMs: cutGraceMs ?? limits.cutGraceMs,
      onCut: cutLog(log, 'gRPC', 'a call was cut off'),
    })
    this.turns = new AnswerTurns(options.answerTurnBytesMax ?? limits.answerTurnBytesMax)
    this.#answers = new AnswerBytes(options.answerBytesMax ?? limits.answerBytesMax, this.peers)
  }

  /** Bytes of messages that have not come to their end. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** What it counts, for those who watch the node. */
  read(): DoorReading {
    const { gate, peers } = this
    const { open, refused } = gate
    return {
      kind: 'grpc',
      connections: open,
      refused,
      cut: peers.cut,
      calls: this.#calls,
      receivedBytes: this.#receivedBytes,
    }
  }

  /** Whether no more answers should be made at this moment: too many wait for clients already. */
  get answersAreFull(): boolean {
    return this.#answers.isFull
  }

  /** Bytes of answers that clients have not taken. */
  get waitingBytes(): number {
    return this.#answers.waiting
  }

  /** Stands before whoever listens to a server by now. */
  guard(server: GuardedHttp2Server): void {
    // From the handshake of TLS on, as whoever does not end it holds a place too; and before HTTP/2 begins on it.
    server.prependListener('connection', (socket: Socket) => this.#idle.add(socket))
    this.gate.guard(server)
    this.#options.watch?.(server)
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
    const connection = session.destroyed ? undefined : this.#idle.find(session.socket as Socket)
    if (connection === undefined) return
    this.#connections.set(session, connection)
    closeWithSession(session, connection, this.#options.cutGraceMs ?? limits.cutGraceMs)
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
    dropIllegal(headers)
    const { session } = stream
    // The connection has ended while this stream was on its way here.
    if (session === undefined) return false
    const refusal = this.#options.refuses?.(stream, headers)
    if (refusal !== undefined) {
      const { code = status.UNKNOWN, details = '', metadata } = refusal
      this.#refuse(stream, code, encodeURI(details), metadata?.toHttp2Headers() ?? {})
      return false
    }
    this.#count(session as ServerHttp2Session, stream)
    this.#options.prepare?.(stream, headers)
    this.#follow(stream, headers[':path'] ?? '')
    return true
  }

  #follow(stream: ServerHttp2Stream, path: string): void {
    const { takesStream, isForNodes } = this.#options
    const onAnswer = (of: GuardedStream, bytes: number): void => {
      if (isForNodes(path)) return
      this.turns.made(bytes)
      this.#answers.answered(of)
    }
    const connection = this.#connections.get(stream.session as ServerHttp2Session)
    const guarded = new GuardedStream(stream, connection, takesStream(path), onAnswer)
    this.peers.add(guarded)
    closeWhenAnswered(stream)
    stream.on('data', (chunk: Buffer) => {
      const sinceMs = guarded.incompleteSinceMs
      this.#receivedBytes += guarded.received(chunk)
      // One that has begun in this chunk is the youngest.
      if (guarded.incompleteSinceMs !== sinceMs) this.#incomplete.set(guarded, 0)
      this.#incomplete.set(guarded, guarded.isCut ? 0 : guarded.held)
      if (this.#receivedBytes > this.#receivedBytesMax) this.#relieve()
    })
    const ended = (): void => {
      this.#receivedBytes -= guarded.ended()
      this.#incomplete.set(guarded, 0)
      this.#resets.delete(guarded)
    }
    stream.once('end', ended)
    stream.once('close', () => {
      ended()
      this.peers.remove(guarded)
      this.#answers.remove(guarded)
    })
  }

  /**
   * Whoever of the address that holds most has been at a message for longest makes room: to refuse the newest would let those who never end keep
   * out all others. Who has been reset is gone as soon as his connection takes that, and until then nobody else makes room for what he
   * holds: a connection that does not take it is closed.
   */
  #relieve(): void {
    if (this.#relieving) return
    this.#relieving = true
    // Not while a connection is being read.
    setImmediate(() => {
      this.#relieving = false
      const nowMs = performance.now()
      for (const [guarded, sinceMs] of this.#resets) if (nowMs - sinceMs >= resetMs) guarded.cut(true)
      let excess = this.#incomplete.bytes - this.#receivedBytesMax
      for (let address = this.#incomplete.largest; excess > 0 && address !== undefined; ) {
        const [guarded] = this.#incomplete.holdersOf(address)
        this.#incomplete.set(guarded!, 0)
        excess -= guarded!.held
        this.#resets.set(guarded!, nowMs)
        this.peers.end(guarded!, 'messages that are not complete hold too much, and it has been at its own for longest')
        address = this.#incomplete.largest
      }
    })
  }

  #count(session: ServerHttp2Session, stream: ServerHttp2Stream): void {
    const connection = this.#connections.get(session)
    if (connection !== undefined) this.#idle.begin(connection, stream)
    this.#calls++
    stream.once('close', () => {
      this.#calls--
    })
  }

  #refuse(stream: ServerHttp2Stream, code: status, message: string, more: OutgoingHttpHeaders): void {
    // What goes wrong while somebody is told that he is refused is his own affair; the stream closes all the same.
    stream.on('error', () => undefined)
    const answer = { ':status': 200, 'content-type': 'application/grpc+proto', 'grpc-status': code, ...more }
    stream.respond({ ...answer, 'grpc-message': message }, { endStream: true })
    // Who still sends is to stop. Not at once: Node.js 22 would end the stream without the answer, and see `GuardedStream.cut`.
    setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR))
  }
}
