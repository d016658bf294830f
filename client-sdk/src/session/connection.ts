import { connect as connectTcp, isIP, Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, TLSSocket } from 'node:tls'
import { closedAfterHandshake, closedWithoutAWord, explainTlsError } from '@quorumkv/proto/tls-errors'
import type { Call } from '../call.js'
import type { TlsOptions } from '../client-options.js'
import { KvError } from '../errors.js'
import { type ClientConfig, tellsToken } from '../options.js'
import { type Break, breakOf } from '../status.js'
import { parseEndpoint } from '../topology/endpoints.js'
import { beginConnect, type ConnectEnd } from '../tracing.js'
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
  private readonly socket: Socket
  private transport: Transport | undefined
  private call: Call | undefined
  /** Undefined where nobody watches. */
  private readonly tell: ConnectEnd | undefined
  private ended = false
  /** The node speaks HTTP/2. */
  private ready = false
  private heard = false
  /** Of the token that the session was begun with. */
  private generation = 0

  /** `client`: whose it is, for who watches. */
  constructor(address: string, config: ClientConfig, client: object, events: ConnectionEvents) {
    this.tell = beginConnect(client, address)
    this.address = address
    this.config = config
    this.events = events
    // Somebody may take the connection and say nothing, for ever.
    this.timer = setTimeout(
      () => this.refuse(`did not answer within ${config.connectTimeoutMs} ms`, undefined),
      config.connectTimeoutMs,
    )
    this.timer.unref()
    this.socket = this.dial()
  }

  /** Sends a frame with a SessionRequest. False: wait for `onDrain` before writing more. */
  write(frame: Buffer): boolean {
    return this.call!.write(frame)
  }

  /** For calls beside the session; only once `onReady` has come. */
  get channel(): Transport {
    return this.transport!
  }

  /** Whether another token may be had than the one that the session was begun with. */
  renewToken(): boolean {
    return this.config.token?.renew(this.generation) === true
  }

  /** `reason`: what it has broken with; undefined: it is not wanted any more. */
  destroy(reason?: KvError): void {
    this.ended = true
    // For when nothing has come of it, neither good nor bad.
    this.tell?.(new KvError('closed', `${this.address}: the client was closed`, { node: this.address }))
    clearTimeout(this.timer)
    this.call?.cancel()
    // What is not connected yet would go on trying: towards a machine that is switched off for minutes.
    if (this.transport === undefined) this.socket.destroy()
    else this.transport.destroy(reason)
  }

  private dial(): Socket {
    const { host, port } = parseEndpoint(this.address)!
    const { tls } = this.config
    if (tellsToken(this.config, this.address)) {
      const why = 'is on another machine, and the token would go there without encryption: see tls and insecure'
      setImmediate(() => this.refuse(why, undefined))
      return new Socket()
    }
    const socket = tls === undefined ? connectTcp({ host, port }) : connectTls({ host, port, ...tlsOptions(tls, host) })
    // While nothing has come about, it does not keep the process alive.
    socket.unref()
    // Later on the transport tells of it. HTTP/2 itself does not see an error that TLS has right after the handshake, by which a
    // node refuses a certificate.
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      // Where a name has several addresses the error is an AggregateError without a message.
      if (!this.ready) this.refuse(explained(cause) ?? (cause.message || `connect ${cause.code}`), cause)
    })
    socket.once('close', () => {
      if (this.transport === undefined) this.refuse('closed the connection', undefined)
    })
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      if (!this.ended) this.open(socket)
    })
    return socket
  }

  private open(socket: Socket): void {
    if (socket instanceof TLSSocket && socket.alpnProtocol !== 'h2') {
      this.refuse('does not speak HTTP/2 over TLS', undefined)
      return
    }
    const transport = new Transport(this.address, socket, this.config.token, {
      ready: () => {
        this.ready = true
        this.authorize(transport, socket)
      },
      lost: (reason, cause) => {
        if (!this.ready)
          return this.refuse(explained(cause) ?? (cause === undefined ? wordless(socket) : reason), cause)
        const error = new KvError('unavailable', `${this.address}: ${reason}`, { node: this.address, cause })
        this.break({ error, refused: false })
      },
    })
    this.transport = transport
  }

  /** Begins the session, once there is a token to show where one is to be shown. */
  private authorize(transport: Transport, socket: Socket): void {
    const { token } = this.config
    const begin = (): void => {
      if (this.ended) return
      socket.ref()
      clearTimeout(this.timer)
      this.generation = token?.generation ?? 0
      this.begin(transport)
    }
    if (token === undefined || token.header !== undefined) begin()
    else token.ready().then(begin, (error: KvError) => this.break({ error, refused: true }))
  }

  private begin(transport: Transport): void {
    this.call = transport.openSession({
      message: (bytes) => this.receive(bytes),
      drain: () => this.events.onDrain(),
      end: (error) => {
        if (error !== undefined) return this.break(renewing(breakOf(error, this.address, this.heard), this))
        const message = `${this.address}: ended the session`
        this.break({ error: new KvError('unavailable', message, { node: this.address }), refused: false })
      },
    })
    this.tell?.(undefined)
    this.events.onReady()
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

  /** It has not come about: certainly nothing was sent. */
  private refuse(reason: string, cause: Error | undefined): void {
    const error = new KvError('unavailable', `${this.address}: ${reason}`, { node: this.address, cause })
    this.break({ error, refused: true })
  }

  private break(reason: Break): void {
    if (this.ended) return
    this.tell?.(reason.error)
    this.destroy(reason.error)
    this.events.onBroken(reason)
  }
}

/** Where the token was refused and another may be had, what was to be done may be repeated. */
function renewing(reason: Break, connection: Connection): Break {
  const { error } = reason
  if (error.code !== 'unauthenticated' || !connection.renewToken()) return reason
  const message = `${connection.address}: does not take the token any more, and another is asked for`
  return { ...reason, error: new KvError('unavailable', message, { node: connection.address, cause: error }) }
}

function tlsOptions(tls: TlsOptions, host: string): ConnectionOptions {
  return {
    ALPNProtocols: ['h2'],
    // Names are asked for by name; an address must not be.
    ...(isIP(host) === 0 && { servername: host }),
    ...(tls.ca !== undefined && { ca: pem(tls.ca) }),
    ...(tls.cert !== undefined && { cert: pem(tls.cert) }),
    ...(tls.key !== undefined && { key: pem(tls.key) }),
  }
}

/** What is wrong with TLS, or undefined: it is something else. */
function explained(cause: Error | undefined): string | undefined {
  const words = explainTlsError(cause)
  return words === undefined ? undefined : `no encrypted connection: ${words}`
}

/** The other side has taken the connection, and ended it before it said anything that HTTP/2 is. */
function wordless(socket: Socket): string {
  return socket instanceof TLSSocket ? closedAfterHandshake : closedWithoutAWord
}

function pem(value: string | Uint8Array): string | Buffer {
  return typeof value === 'string' ? value : Buffer.from(value)
}
