import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { limits } from '@quorumkv/internal/base'
import type { Log } from '@quorumkv/internal/env'
import type { ListenAddress } from '../config/addresses.js'
import { addressOf, ConnectionGate } from '../limits/connection-gate.js'
import { cutLog } from '../limits/cut-log.js'
import type { DoorReading } from '../limits/door-reading.js'
import { IdleConnections } from '../limits/idle-connections.js'
import { type Peer, SlowPeers } from '../limits/slow-peers.js'
import { bindAll } from '../listening.js'
import { type ServerTls, serverTlsOptions } from '../tls/server-credentials.js'
import { answerClientError, refuseConnect, refuseExpectation, unreadableRequest } from './client-error.js'
import type { HttpApp } from './http-parts.js'
import { Pipelines } from './pipelines.js'
import { Uploads } from './uploads.js'

/** How often connections are looked at whose time is over. */
const checkIntervalMs = 1_000
/** While the host stops, connections that have become idle are closed so often. */
const closeIntervalMs = 20

interface SocketPeer extends Peer {
  readonly socket: Socket
}

/** Bytes on a connection that its other end has not taken. */
function peerOf(socket: Socket): SocketPeer {
  return {
    socket,
    get writableLength() {
      return socket.writableLength
    },
    taken: () => socket.bytesWritten - socket.writableLength,
    cut: () => void socket.destroy(),
  }
}

/** Limits that tests make small; what is left out is as in `limits`. */
export interface HttpTuning {
  readonly headersTimeoutMs?: number
  readonly requestTimeoutMs?: number
  readonly keepAliveMs?: number
  readonly silenceMs?: number
  readonly connectionsMax?: number
  readonly perAddressMax?: number
  readonly readerStallMs?: number
  readonly checkIntervalMs?: number
}

type Env = Parameters<HttpApp['fetch']>[1]

/** A server that follows the files. New connections get what has changed, and those that are open stay as they are. */
function createEncrypted(tls: ServerTls, options: ServerOptions, serve: RequestListener): TlsServer {
  const { certificates } = tls
  const server = createTlsServer({ ...options, ...serverTlsOptions(tls), ...certificates.material.context }, serve)
  certificates.onChange(({ context }) => server.setSecureContext(context))
  return server
}

/**
 * The HTTP servers of a node, one for each address that it listens on. Like the gRPC server they listen before the node
 * behind them exists; until then requests for keys are answered as unavailable, and `/readyz` says why.
 */
export class HttpHost {
  readonly #log: Log
  readonly #tuning: HttpTuning
  readonly #listener: (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>
  readonly #tls: ServerTls | undefined
  readonly #servers: (Server | TlsServer)[] = []
  readonly #idle = new IdleConnections()
  readonly #gate: ConnectionGate
  readonly #peers: SlowPeers
  readonly #pipelines = new Pipelines()
  readonly #uploads = new Uploads()
  #stopped: Promise<void> | undefined

  constructor(
    app: HttpApp,
    log: Log,
    onBug: (error: unknown) => void,
    { tls, tuning = {} }: { readonly tls?: ServerTls | undefined; readonly tuning?: HttpTuning } = {},
  ) {
    this.#log = log
    this.#tls = tls
    this.#tuning = tuning
    this.#gate = new ConnectionGate({
      protocol: 'HTTP',
      log,
      connectionsMax: tuning.connectionsMax ?? limits.httpConnectionsMax,
      perAddressMax: tuning.perAddressMax ?? limits.httpConnectionsPerAddressMax,
      makeRoom: () => this.#idle.closeOne(),
    })
    this.#peers = new SlowPeers({
      stallMs: tuning.readerStallMs ?? limits.readerStallMs,
      messageMs: Number.POSITIVE_INFINITY,
      checkMs: tuning.checkIntervalMs ?? limits.slowCheckMs,
      onCut: cutLog(log, 'HTTP', 'a connection was cut off'),
    })
    const onUploadCut = cutLog(log, 'HTTP', 'a connection was cut off')
    const lookMs = tuning.checkIntervalMs ?? limits.slowCheckMs
    // Who does not read, or does not come to the end of a body, would keep out whoever does.
    const makeRoom = (address: string, atOnce: boolean): boolean => {
      const leastMs = atOnce ? 0 : lookMs
      const isMeant = (socket: Socket): boolean => addressOf(socket) === address
      const why = 'too many answers wait, and it has not taken its own for longest'
      if (this.#peers.endLongest(why, (peer) => isMeant((peer as SocketPeer).socket), leastMs)) return true
      if (!this.#uploads.endOldest(isMeant, leastMs)) return false
      onUploadCut('bodies hold too much, and its own was on its way for longest')
      return true
    }
    this.#listener = getRequestListener((request, env) => app.fetch(request, { ...env, makeRoom } as Env), {
      // The library would replace Request and Response for the whole process, also that of a program which embeds a node.
      overrideGlobalObjects: false,
      errorHandler: (error) => {
        // A request line or Host header that makes no URL does not come as far as the application.
        if (error instanceof Error && error.name === 'RequestError') return unreadableRequest(error.message)
        onBug(error)
        return new Response(null, { status: 500 })
      },
    })
  }

  /**
   * Listens on all addresses; resolves to those that were bound, with the real port. Rejects with FatalError `usage`
   * that names the address.
   */
  async bind(addresses: readonly ListenAddress[]): Promise<readonly string[]> {
    return await bindAll(addresses, (host, port) => this.#bindOne(host, port), this.#log)
  }

  /** What it counts, for those who watch the node. */
  read(): DoorReading {
    const { open, refused } = this.#gate
    const reading: DoorReading = { kind: 'http', connections: open, refused, cut: this.#peers.cut }
    return this.#tls === undefined ? reading : { ...reading, handshakesFailed: this.#tls.door.failed('http') }
  }

  /**
   * Accepts no more connections, lets requests that run end within `graceMs`, then cuts off what is left. Idempotent.
   */
  stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#close(graceMs)
    return this.#stopped
  }

  async #close(graceMs: number): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
    // A connection whose last answer has gone out would wait for the next request.
    const idle = setInterval(() => {
      for (const server of this.#servers) server.closeIdleConnections()
    }, closeIntervalMs)
    // Not by `closeAllConnections`, which knows none that still shakes hands; all are waited for.
    const late = setTimeout(() => this.#idle.closeAll(), graceMs)
    await Promise.all(closed)
    clearInterval(idle)
    clearTimeout(late)
    this.#peers.stop()
  }

  #bindOne(host: string, port: number): Promise<number> {
    const server = this.#createServer()
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port }, () => {
        server.off('error', reject)
        server.on('error', (error) => this.#log.warn('HTTP cannot accept connections', { error }))
        this.#servers.push(server)
        resolve((server.address() as AddressInfo).port)
      })
    })
  }

  #createServer(): Server | TlsServer {
    const tuning = this.#tuning
    const options = {
      maxHeaderSize: limits.httpHeaderBytesMax,
      // Node's own refusal has no body; the library's comes as a problem.
      requireHostHeader: false,
      headersTimeout: tuning.headersTimeoutMs ?? limits.httpHeadersTimeoutMs,
      requestTimeout: tuning.requestTimeoutMs ?? limits.httpRequestTimeoutMs,
      keepAliveTimeout: tuning.keepAliveMs ?? limits.httpKeepAliveMs,
      connectionsCheckingInterval: tuning.checkIntervalMs ?? checkIntervalMs,
    }
    const serve = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
      if (!this.#pipelines.admit(incoming.socket, outgoing)) return
      this.#uploads.add(incoming)
      const connection = this.#idle.find(incoming.socket)
      if (connection !== undefined) this.#idle.begin(connection, outgoing)
      void this.#listener(incoming, outgoing)
    }
    const server = this.#tls === undefined ? createServer(options, serve) : createEncrypted(this.#tls, options, serve)
    // Their bytes are bounded. Node would pass over what comes after the first 2,000, an Origin for instance.
    server.maxHeadersCount = 0
    // Whoever reads the body says that it may come: one that is refused for what its head says is not sent at all.
    server.on('checkContinue', serve)
    server.on('checkExpectation', refuseExpectation)
    server.on('connect', refuseConnect)
    server.on(this.#tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      const peer = peerOf(socket)
      this.#peers.add(peer)
      socket.once('close', () => this.#peers.remove(peer))
    })
    server.on('connection', (socket: Socket) => this.#idle.add(socket))
    // Counted for all addresses together, from the handshake of TLS on.
    this.#gate.guard(server)
    this.#tls?.door.watch(server, 'http')
    // Longer than any request is worked on.
    server.setTimeout(tuning.silenceMs ?? limits.httpSilenceMsMax)
    server.on('clientError', answerClientError)
    return server
  }
}
