import { isIPv6, type Server, type Socket } from 'node:net'
import type { Log } from '@quorumkv/internal/env'

/** Connections beyond the limits are told of in the log so often at most. */
const reportIntervalMs = 10_000

export interface ConnectionLimits {
  /** All connections at a time. */
  readonly connectionsMax: number
  /** Those from one address. */
  readonly perAddressMax: number
}

export interface ConnectionGateOptions extends ConnectionLimits {
  /** What is spoken behind it, for the log. */
  readonly protocol: string
  readonly log: Log
  /** Closes a connection that nobody would miss, where there is one. */
  readonly makeRoom?: () => boolean
}

/**
 * What counts as one address: of IPv6 the first 64 bits, because whoever has one address there has all of them with the same
 * beginning.
 */
export function addressGroup(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('%')[0]!.split('::')
  const parts = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const missing = tail === undefined ? 0 : 8 - parts(head).length - parts(tail).length
  const groups = [...parts(head), ...Array.from({ length: missing }, () => '0'), ...parts(tail ?? '')]
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, '').toLowerCase())
    .join(':')
}

/** Who is at the other end: what counts as one address. Empty: it has gone. */
export function addressOf({ remoteAddress }: Socket): string {
  return addressGroup(remoteAddress ?? '')
}

/** Of what gRPC says of the other end of a call: the address, without the port. */
export function addressOfPeer(peer: string): string {
  const colon = peer.lastIndexOf(':')
  return colon < 0 ? peer : peer.slice(0, colon)
}

/**
 * Counts the connections of one or more servers, and closes those that are too many before anything is read from them. Those of
 * one address are counted apart, so that one caller cannot take the places of all others.
 */
export class ConnectionGate {
  readonly #options: ConnectionGateOptions
  readonly #byAddress = new Map<string, number>()
  #open = 0
  #refused = 0
  #reportedMs = Number.NEGATIVE_INFINITY

  constructor(options: ConnectionGateOptions) {
    this.#options = options
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#open
  }

  /** Connections that were closed at once. */
  get refused(): number {
    return this.#refused
  }

  /** Stands before whoever listens for the connections of a server by now. */
  guard(server: Server): void {
    const listeners = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) => {
      if (!this.#admit(socket)) {
        socket.destroy()
        return
      }
      for (const listener of listeners) listener.call(server, socket)
    })
  }

  #admit(socket: Socket): boolean {
    const { connectionsMax, perAddressMax, makeRoom } = this.#options
    const { remoteAddress } = socket
    // It is gone already.
    if (remoteAddress === undefined) return false
    const group = addressGroup(remoteAddress)
    const same = this.#byAddress.get(group) ?? 0
    if (same >= perAddressMax) return this.#refuse(`${perAddressMax} come from ${group}`)
    if (this.#open >= connectionsMax && makeRoom?.() !== true) return this.#refuse(`${connectionsMax} are open`)
    this.#open++
    this.#byAddress.set(group, same + 1)
    socket.once('close', () => this.#leave(group))
    return true
  }

  #leave(group: string): void {
    this.#open--
    const left = this.#byAddress.get(group)! - 1
    if (left === 0) this.#byAddress.delete(group)
    else this.#byAddress.set(group, left)
  }

  #refuse(why: string): false {
    const { log, protocol } = this.#options
    this.#refused++
    const nowMs = performance.now()
    if (nowMs - this.#reportedMs >= reportIntervalMs) {
      this.#reportedMs = nowMs
      log.warn(`${protocol} connections were refused: there are too many`, { why, refused: this.#refused })
    }
    return false
  }
}
