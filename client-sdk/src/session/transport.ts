import { type ClientHttp2Session, connect } from 'node:http2'
import type { Socket } from 'node:net'
import { frameOf } from '@quorumkv/proto/framing'
import { KvService, type ScanRequest } from '@quorumkv/proto/kv/v1/kv'
import { Call, CallError, type CallEvents, grpcStatus, requestHeaders } from '../call.js'
import { asKvError, KvError } from '../errors.js'
import { limits } from '../limits.js'
import { fromStatus } from '../status.js'
import type { TokenSource } from '../token-source.js'
import { MessageStream } from './message-stream.js'

/** A method of a generated service that takes one message and gives one. */
export interface UnaryMethod<Req, Res> {
  readonly path: string
  readonly requestSerialize: (value: Req) => Buffer
  readonly responseDeserialize: (value: Buffer) => Res
}

export interface TransportEvents {
  /** The node speaks HTTP/2, and calls may be made. */
  ready(): void
  /** Comes once, and is the last event: the connection is gone, with whatever ran on it. */
  lost(reason: string, cause: Error | undefined): void
}

/** gRPC over one HTTP/2 connection to one node. */
export class Transport {
  readonly address: string
  private readonly events: TransportEvents
  private readonly token: TokenSource | undefined
  private readonly socket: Socket
  private readonly session: ClientHttp2Session
  private keepalive: NodeJS.Timeout | undefined
  private pingUnanswered = false
  /** How much had come when the answer was last waited for. */
  private readAtPing = 0
  private over = false
  /** Why the node does not let this side go on, where that ended the connection. */
  private refusal: KvError | undefined

  /** On a socket that is connected, and has shaken hands where it is one of TLS. It belongs to the transport from now on. */
  constructor(address: string, socket: Socket, token: TokenSource | undefined, events: TransportEvents) {
    this.address = address
    this.token = token
    this.events = events
    this.socket = socket
    // The URL says nothing: the socket is there, and each call names its authority.
    this.session = connect('http://node', {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: limits.messageBytesMax },
      maxSessionMemory: limits.sessionMegabytesMax,
    })
    this.session.once('connect', (session) => {
      // Apart from the windows of the streams, and 64 KiB unless raised. Node tells of a destroyed session, too.
      if (!session.destroyed) session.setLocalWindowSize(limits.connectionWindowBytes)
    })
    this.session.once('remoteSettings', () => this.begin())
    this.session.on('error', (error) => this.lose(error.message, error))
    this.session.on('close', () => this.lose('the connection was lost', undefined))
  }

  /** How much has come so far, also of messages that are not complete, and of what HTTP/2 says for itself. */
  get bytesRead(): number {
    return this.socket.bytesRead
  }

  /** A stream of frames that hold a SessionRequest each; the messages that come are SessionResponses. */
  openSession(events: CallEvents): Call {
    return this.open(KvService.session.path, {}, events)
  }

  /** The messages are ScanResponses. `traceparent`: of W3C Trace Context; empty: none is sent. */
  scan(request: ScanRequest, traceparent: string): MessageStream {
    return new MessageStream((events) => {
      const call = this.open(KvService.scan.path, traceparent === '' ? {} : { traceparent }, events)
      call.end(frameOf(KvService.scan.requestSerialize(request)))
      return call
    })
  }

  /** Rejects with a KvError: `timeout` when the node has not answered in time. */
  unary<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, timeoutMs: number): Promise<Res> {
    return new Promise((resolve, reject) => {
      const ms = Math.max(1, Math.ceil(timeoutMs))
      const fail = (error: CallError): void => {
        // Cut off by what was told to the session: nobody should come back with the same token.
        const cut = error.code === grpcStatus.unavailable ? this.refusal : undefined
        reject(cut ?? fromStatus(error, this.address))
      }
      let answer: Buffer | undefined
      const call = this.open(
        method.path,
        { 'grpc-timeout': `${ms}m` },
        {
          message: (bytes) => {
            answer ??= bytes
          },
          drain: () => undefined,
          end: (error) => {
            clearTimeout(timer)
            if (error !== undefined) return fail(error)
            if (answer === undefined) return fail(new CallError(grpcStatus.internal, 'answered without a message'))
            try {
              resolve(method.responseDeserialize(answer))
            } catch (cause) {
              fail(new CallError(grpcStatus.internal, 'answered what this client cannot read', cause))
            }
          },
        },
      )
      const timer = setTimeout(() => {
        call.cancel()
        fail(new CallError(grpcStatus.deadlineExceeded, `did not answer within ${ms} ms`))
      }, ms)
      call.end(frameOf(method.requestSerialize(request)))
    })
  }

  /**
   * Ends everything, at once and without a further event of its own. Calls that run end with an error; where `reason` is that the
   * node does not know who calls, with that. Idempotent.
   */
  destroy(reason?: KvError): void {
    if (this.over) return
    this.over = true
    if (reason?.code === 'unauthenticated') {
      const { message, node } = reason
      // Of the session nothing had been looked at; a call beside it may have been under way.
      this.refusal = new KvError('unauthenticated', message, { node, cause: reason })
    }
    clearInterval(this.keepalive)
    // Not from within an event: see Call.cancel.
    setImmediate(() => {
      this.session.destroy()
      this.socket.destroy()
    })
  }

  /** Throws `unavailable` where no more calls can be made: the connection is gone, or the node has said that it goes. */
  private open(path: string, headers: Readonly<Record<string, string>>, events: CallEvents): Call {
    try {
      const authorization = this.token?.header
      const all = { ...requestHeaders(this.address, path), ...headers, ...(authorization && { authorization }) }
      const stream = this.session.request(all, { endStream: false })
      return new Call(stream, events)
    } catch (cause) {
      const { message } = asKvError(cause)
      throw new KvError('unavailable', `${this.address}: ${message}`, { node: this.address, cause })
    }
  }

  private begin(): void {
    if (this.over) return
    this.keepalive = setInterval(() => this.ping(), limits.keepaliveMs).unref()
    this.events.ready()
  }

  private ping(): void {
    const { bytesRead } = this
    // On a slow line the answer comes behind what the node has sent before, which may take longer.
    const hears = bytesRead > this.readAtPing
    this.readAtPing = bytesRead
    if (this.pingUnanswered && hears) return
    if (!this.pingUnanswered) {
      this.pingUnanswered = true
      this.session.ping((error) => {
        if (error === null) this.pingUnanswered = false
      })
      return
    }
    // If it was this process that stood still, the answer is there, and is read before this.
    setImmediate(() => {
      if (this.pingUnanswered) this.lose('the other side does not answer pings', undefined)
    })
  }

  private lose(reason: string, cause: Error | undefined): void {
    if (this.over) return
    this.destroy()
    this.events.lost(reason, cause)
  }
}
