import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { limits } from '@quorumkv/internal/base'
import type { Log } from '@quorumkv/internal/env'
import type { ListenAddress } from '../addresses.js'
import { bindAll } from '../listening.js'
import { type ServerTls, serverTlsOptions } from '../tls/server-credentials.js'
import { answerClientError, refuseConnect, refuseExpectation, unreadableRequest } from './client-error.js'
import type { HttpApp } from './http-parts.js'

/** How often connections are looked at whose time is over. */
const checkIntervalMs = 1_000
/** While the host stops, connections that have become idle are closed so often. */
const closeIntervalMs = 20
/** Connections beyond the limit are told of in the log so often at most. */
const dropReportMs = 10_000

/** Limits that tests make small; what is left out is as in `limits`. */
export interface HttpTuning {
  readonly headersTimeoutMs?: number
  readonly requestTimeoutMs?: number
  readonly connectionsMax?: number
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
  #dropped = 0
  #dropReportedMs = Number.NEGATIVE_INFINITY
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
    this.#listener = getRequestListener((request, env) => app.fetch(request, env as Env), {
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
    const late = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections()
    }, graceMs)
    await Promise.all(closed)
    clearInterval(idle)
    clearTimeout(late)
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
      keepAliveTimeout: limits.httpKeepAliveMs,
      connectionsCheckingInterval: tuning.checkIntervalMs ?? checkIntervalMs,
    }
    const serve = (incoming: IncomingMessage, outgoing: ServerResponse): void => void this.#listener(incoming, outgoing)
    const server = this.#tls === undefined ? createServer(options, serve) : createEncrypted(this.#tls, options, serve)
    // Their bytes are bounded. Node would pass over what comes after the first 2,000, an Origin for instance.
    server.maxHeadersCount = 0
    // Whoever reads the body says that it may come: one that is refused for what its head says is not sent at all.
    server.on('checkContinue', serve)
    server.on('checkExpectation', refuseExpectation)
    server.on('connect', refuseConnect)
    server.maxConnections = tuning.connectionsMax ?? limits.httpConnectionsMax
    // Longer than any request is worked on: what ends by this is a reader that takes nothing of its answer.
    server.setTimeout(limits.httpSilenceMsMax)
    server.on('clientError', answerClientError)
    server.on('drop', () => this.#reportDrop())
    return server
  }

  #reportDrop(): void {
    this.#dropped++
    const nowMs = performance.now()
    if (nowMs - this.#dropReportedMs < dropReportMs) return
    this.#dropReportedMs = nowMs
    this.#log.warn('HTTP connections were refused: there are too many', { refused: this.#dropped })
  }
}
