import { isIP } from 'node:net'
import { invalidArgument } from '../errors.js'

const pattern = /^(?:\[([0-9a-fA-F:.]+(?:%[0-9a-zA-Z._-]+)?)\]|([0-9a-zA-Z._-]+)):(\d{1,5})$/

/** Where a node is reached. */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** Reads `host:port` or `[ipv6]:port`; undefined for anything else. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const port = Number(match[3])
  if (port < 1 || port > 65_535) return undefined
  return { host: (match[1] ?? match[2])!, port }
}

/** Whether what is sent to an address does not leave this machine. */
export function staysHere(address: string): boolean {
  const host = parseEndpoint(address)?.host ?? ''
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** Throws `invalid-argument` naming `field` for what is neither `host:port` nor `[ipv6]:port`. */
export function checkEndpoint(text: unknown, field: string): string {
  if (typeof text !== 'string' || parseEndpoint(text) === undefined) {
    throw invalidArgument(field, `must be host:port or [ipv6]:port, got ${JSON.stringify(text)}`)
  }
  return text
}
