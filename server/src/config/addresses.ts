import { isIP } from 'node:net'
import { invalidArgument, limits, parseAddress, parseNodeId } from '@quorumkv/internal/base'
import type { PeerName } from '@quorumkv/internal/cluster'

/** An address to listen on. */
export interface ListenAddress {
  readonly host: string
  /** 0: any free one, the same for all addresses of a node. */
  readonly port: number
  /** Go on without it where this machine has no such address. */
  readonly optional: boolean
}

/** `host:port`, with brackets around IPv6. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

interface HostAndPort {
  readonly host: string
  readonly port: number
}

/** Takes apart what `parseAddress` or `formatAddress` made. */
export function splitAddress(address: string): HostAndPort {
  const colon = address.lastIndexOf(':')
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) }
}

/**
 * What to listen on. Without a host, or with `localhost`, that is this machine only, on both of its loopback
 * addresses, because `localhost` may mean either to a client. Throws `invalid-argument` naming `label`.
 */
export function parseListenAddresses(text: string, label: string): readonly ListenAddress[] {
  const { host, port } = splitAddress(parseAddress(text, label, { allowPortZero: true, defaultHost: 'localhost' }))
  if (host !== 'localhost') return [{ host, port, optional: false }]
  return [
    { host: '127.0.0.1', port, optional: false },
    { host: '::1', port, optional: true },
  ]
}

/** Whether only processes of this machine can reach it. A name that needs looking up is not taken for one. */
export function isLoopback(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** Stands for every interface, so that it tells nobody where to go. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** `[id@]host:port,…`; an empty text is no peer. Throws `invalid-argument` naming `label`. */
export function parsePeers(text: string, label: string): readonly PeerName[] {
  const peers = new Map<string, PeerName>()
  for (const part of text.split(',')) {
    const name = part.trim()
    if (name === '') continue
    const at = name.indexOf('@')
    const address = parseAddress(name.slice(at + 1), label)
    const id = at < 0 ? undefined : parseNodeId(name.slice(0, at), label)
    const known = peers.get(address)
    if (known !== undefined && id !== undefined && known.id !== undefined && known.id !== id) {
      throw invalidArgument(label, `names two ids for ${address}: ${known.id} and ${id}`)
    }
    peers.set(address, { address, id: id ?? known?.id })
  }
  if (peers.size > limits.membersMax) {
    throw invalidArgument(label, `must name at most ${limits.membersMax} nodes, got ${peers.size}`)
  }
  return [...peers.values()]
}

const hostName = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/

/** `name,…` in lower case, without ports; an empty text is none. Throws `invalid-argument` naming `label`. */
export function parseHostNames(text: string, label: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim().toLowerCase())
  for (const name of names) {
    if (name !== '' && !hostName.test(name)) {
      throw invalidArgument(label, `must be host names without ports, got ${JSON.stringify(name)}`)
    }
  }
  return [...new Set(names.filter((name) => name !== ''))]
}
