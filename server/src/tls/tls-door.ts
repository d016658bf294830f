import type { EventEmitter } from 'node:events'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { KvError, limits } from '@quorumkv/internal/base'
import type { Clock, Log, Timer } from '@quorumkv/internal/env'
import { addressGroup } from '../limits/connection-gate.js'
import { certificateName } from './names.js'

/** What is spoken behind a TLS server. Over gRPC there are links between nodes as well. */
export type DoorKind = 'grpc' | 'http'

export interface TlsDoorOptions {
  readonly clock: Clock
  readonly log: Log
}

function isNodes({ subjectaltname }: PeerCertificate): boolean {
  try {
    return certificateName(subjectaltname)?.kind === 'node'
  } catch (error) {
    // It names somebody wrongly, so it is nobody's.
    if (error instanceof KvError) return false
    throw error
  }
}

/**
 * Stands where TLS connections of others come in. It tells of handshakes that fail, and ends the connections of clients whose
 * certificate expires while they are open: OpenSSL looks at certificates in the handshake, and a connection may
 * live for years. Links between nodes stay until they break, so that a cluster whose certificates were forgotten stops piece by
 * piece, with time to see it, and not all at once.
 */
export class TlsDoor {
  readonly #options: TlsDoorOptions
  /** Connections, and when the certificate that they have shown expires. */
  readonly #shown = new Map<TLSSocket, number>()
  readonly #failed: Record<DoorKind, number> = { grpc: 0, http: 0 }
  /** By address: when a failure was told last, and how many were not since then. */
  readonly #told = new Map<string, { atMs: number; untold: number }>()
  #timer: Timer | undefined
  #closed = false

  constructor(options: TlsDoorOptions) {
    this.#options = options
  }

  /** How many handshakes have failed. */
  failed(kind: DoorKind): number {
    return this.#failed[kind]
  }

  /** `server`: one of TLS that serves `kind`. */
  watch(server: EventEmitter, kind: DoorKind): void {
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => this.#tell(kind, error, socket))
    server.on('secureConnection', (socket: TLSSocket) => this.#admit(kind, socket))
  }

  /** Looks at nothing any more. Idempotent. */
  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#shown.clear()
  }

  #admit(kind: DoorKind, socket: TLSSocket): void {
    if (!socket.authorized || this.#closed) return
    const certificate = socket.getPeerCertificate()
    // Also where it has expired since the session was made that is resumed: that is not looked at again.
    const toMs = Date.parse(certificate.valid_to)
    if (Number.isNaN(toMs) || this.#endIfOver(socket, toMs) || (kind === 'grpc' && isNodes(certificate))) return
    this.#shown.set(socket, toMs)
    socket.once('close', () => this.#shown.delete(socket))
    this.#timer ??= this.#wait()
  }

  #wait(): Timer {
    return this.#options.clock.setTimer(limits.accessCheckMs, () => {
      for (const [socket, toMs] of this.#shown) this.#endIfOver(socket, toMs)
      this.#timer = this.#shown.size === 0 ? undefined : this.#wait()
    })
  }

  #endIfOver(socket: TLSSocket, toMs: number): boolean {
    const { clock, log } = this.#options
    if (clock.wallMs() <= toMs) return false
    log.info('a connection is ended: its certificate has expired', {
      remote: socket.remoteAddress ?? '',
      expired: new Date(toMs).toISOString(),
    })
    this.#shown.delete(socket)
    socket.destroy()
    return true
  }

  #tell(kind: DoorKind, error: NodeJS.ErrnoException, socket: TLSSocket): void {
    // Whoever goes away in the middle was not turned away: often somebody who only looks whether the port is open.
    if (error.code === 'ECONNRESET' && !socket.authorizationError) return
    this.#failed[kind]++
    const from = addressGroup(socket.remoteAddress ?? 'unknown')
    const nowMs = this.#options.clock.monotonicMs()
    const before = this.#told.get(from)
    if (before !== undefined && nowMs - before.atMs < limits.distrustReportMs) {
      before.untold++
      return
    }
    this.#told.delete(from)
    for (const [oldest, { atMs }] of this.#told) {
      if (nowMs - atMs < limits.distrustReportMs) break
      this.#told.delete(oldest)
    }
    // Whoever comes from very many addresses is counted, and does not fill the log.
    if (this.#told.size >= limits.distrustedMax) return
    this.#told.set(from, { atMs: nowMs, untold: 0 })
    const reason = socket.authorizationError ?? error.code ?? error.message
    const handshakes = 1 + (before?.untold ?? 0)
    this.#options.log.warn('a TLS handshake failed', { protocol: kind, from, reason: String(reason), handshakes })
  }
}
