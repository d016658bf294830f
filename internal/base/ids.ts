import { invalidArgument } from './errors.js'

declare const brand: unique symbol
type Brand<T, Name extends string> = T & { readonly [brand]: Name }

/** A node's name, `[a-z0-9-]{1,63}`; it lives in the data directory and survives a change of address. */
export type NodeId = Brand<string, 'NodeId'>
/** Names one life of a data directory: 16 random bytes in hex. A wiped directory is a new incarnation. */
export type Incarnation = Brand<string, 'Incarnation'>
/** Names the cluster: 16 random bytes in hex. */
export type ClusterId = Brand<string, 'ClusterId'>
/** `host:port`, `[v6]:port`. */
export type Address = Brand<string, 'Address'>
/** The version of the topology document; 0 stands for "none yet". */
export type Epoch = Brand<number, 'Epoch'>
/** 0 to 4,095: see internal/slots. */
export type Slot = Brand<number, 'Slot'>

export function parseNodeId(text: string, field = 'id'): NodeId {
  if (!/^[a-z0-9-]{1,63}$/.test(text)) {
    throw invalidArgument(field, `must be 1 to 63 characters of a-z, 0-9 and "-", got ${JSON.stringify(text)}`)
  }
  return text as NodeId
}

function parseHex16(text: string, field: string): string {
  if (!/^[0-9a-f]{32}$/.test(text)) throw invalidArgument(field, `must be 32 hex digits, got ${JSON.stringify(text)}`)
  return text
}

export function parseIncarnation(text: string, field = 'incarnation'): Incarnation {
  return parseHex16(text, field) as Incarnation
}

export function parseClusterId(text: string, field = 'clusterId'): ClusterId {
  return parseHex16(text, field) as ClusterId
}

export function parseEpoch(value: number | bigint, field = 'epoch'): Epoch {
  const epoch = Number(value)
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw invalidArgument(field, `must be a whole number, got ${value}`)
  return epoch as Epoch
}

export interface ParseAddressOptions {
  /** Port 0 ("any free port") is for listening only. */
  readonly allowPortZero?: boolean
  /** What an address without a host means; without this such an address is refused. */
  readonly defaultHost?: string
}

/** Parses `host:port` and `[v6]:port`. Throws `invalid-argument` naming `field`. */
export function parseAddress(text: string, field: string, options: ParseAddressOptions = {}): Address {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]\s/@]*)):(\d{1,5})$/.exec(text)
  if (match === null) throw invalidArgument(field, `must be host:port or [ipv6]:port, got ${JSON.stringify(text)}`)
  const port = Number(match[3])
  if (port > 65_535 || (port === 0 && options.allowPortZero !== true)) {
    throw invalidArgument(field, `port must be ${options.allowPortZero ? 0 : 1} to 65535, got ${port}`)
  }
  if (match[1] !== undefined) return `[${match[1]}]:${port}` as Address
  const host = match[2] === '' ? options.defaultHost : match[2]
  if (host === undefined) throw invalidArgument(field, `needs a host, got ${JSON.stringify(text)}`)
  return `${host}:${port}` as Address
}
