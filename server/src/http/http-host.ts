import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { limits } from '@quorumkv/internal/base'
import type { Log } from '@quorumkv/internal/env'
import type { ListenAddress } from '../addresses.js'
import { bindAll } from '../listening.js'
import type { HttpApp } from './http-parts.js'

type Listener = ReturnType<typeof getRequestListener>

/**
 * The HTTP servers of a node, one for each address that it listens on. Like the gRPC server they listen before the node
 * behind them exists; until then requests for keys are answered as unavailable, and `/readyz` says why.
 */
export class HttpHost {
  readonly #log: Log
  readonly #listener: Listener
  readonly #servers: Server[] = []
  #stopped: Promise<void> | undefined

  constructor(app: HttpApp, log: Log, onBug: (error: unknown) => void) {
    this.#log = log
    this.#listener = getRequestListener((request, env) => app.fetch(request, env as Parameters<HttpApp['fetch']>[1]), {
      // The library would replace Request and Response for the whole process, also that of a program which embeds a node.
      overrideGlobalObjects: false,
      errorHandler: (error) => {
        // A request line or Host header that is no URL does not come as far as the application.
        if (error instanceof Error && error.name === 'RequestError') return new Response(null, { status: 400 })
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
    const late = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections()
    }, graceMs)
    await Promise.all(closed)
    clearTimeout(late)
  }

  #bindOne(host: string, port: number): Promise<number> {
    const server = createServer(
      {
        maxHeaderSize: limits.httpHeaderBytesMax,
        headersTimeout: limits.httpHeadersTimeoutMs,
        requestTimeout: limits.httpRequestTimeoutMs,
        keepAliveTimeout: limits.httpKeepAliveMs,
        // How often Node looks for connections whose time is over.
        connectionsCheckingInterval: 1_000,
      },
      (incoming, outgoing) => void this.#listener(incoming, outgoing),
    )
    server.maxConnections = limits.httpConnectionsMax
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, exclusive: true }, () => {
        server.off('error', reject)
        this.#servers.push(server)
        resolve((server.address() as AddressInfo).port)
      })
    })
  }
}
