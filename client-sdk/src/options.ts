import { readFileSync } from 'node:fs'
import type { KvClientOptions, TlsOptions } from './client-options.js'
import { asKvError, invalidArgument } from './errors.js'
import { limits } from './limits.js'
import { TokenSource } from './token-source.js'
import { checkEndpoint, staysHere } from './topology/endpoints.js'
import type { Consistency } from './types.js'

/** Options with all defaults filled in. */
export interface ClientConfig {
  readonly endpoints: readonly string[]
  /** Undefined: the cluster's default. */
  readonly consistency: Consistency | undefined
  readonly timeoutMs: number
  readonly maxInFlight: number
  readonly maxInFlightBytes: number
  readonly connectTimeoutMs: number
  readonly failWhenRefused: boolean
  readonly tls: TlsOptions | undefined
  /** Throws `invalid-argument` where it is the caller's and fails. */
  readonly addressMap: (address: string) => string
  readonly zone: string | undefined
  /** Undefined: calls show nobody's. */
  readonly token: TokenSource | undefined
  /** The token may be read on its way. */
  readonly insecure: boolean
}

/** Whether what is sent to a node would tell the token to whoever listens on the way. */
export function tellsToken({ token, tls, insecure }: ClientConfig, address: string): boolean {
  return token !== undefined && tls === undefined && !insecure && !staysHere(address)
}

/** Throws `invalid-argument` unless `value` is a whole number from `min` to `max`. */
export function checkWhole(value: unknown, field: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw invalidArgument(field, `must be a whole number from ${min} to ${max}, got ${String(value)}`)
  }
  return value
}

/** Throws `invalid-argument` unless `value` is a number above 0 and not above the longest time that a call may take. */
export function checkTimeout(value: unknown, field = 'timeoutMs'): number {
  if (typeof value !== 'number' || !(value > 0 && value <= limits.timeoutMsMax)) {
    throw invalidArgument(
      field,
      `must be a number of milliseconds above 0, up to ${limits.timeoutMsMax}, got ${String(value)}`,
    )
  }
  return value
}

/** Throws `invalid-argument` for anything but the three levels. */
export function checkConsistency(value: unknown): Consistency {
  if (value === 'one' || value === 'quorum' || value === 'all') return value
  throw invalidArgument('consistency', `must be 'one', 'quorum' or 'all', got ${JSON.stringify(value)}`)
}

/** Reads what `new KvClient` takes. Throws `invalid-argument` naming the option. */
export function resolveOptions(input: KvClientOptions | string | readonly string[]): ClientConfig {
  if (typeof input === 'string') return fill(parseUrl(input))
  if (Array.isArray(input)) return fill({ endpoints: input })
  if (typeof input !== 'object' || input === null) {
    throw invalidArgument('options', 'must be an object, a kv:// URL or a list of endpoints')
  }
  return fill(input as KvClientOptions)
}

function fill(options: KvClientOptions): ClientConfig {
  const { consistency } = options
  const config: ClientConfig = {
    endpoints: checkEndpoints(options.endpoints),
    consistency: consistency === undefined ? undefined : checkConsistency(consistency),
    timeoutMs: checkTimeout(options.timeoutMs ?? limits.timeoutMsDefault),
    maxInFlight: checkWhole(options.maxInFlight ?? limits.inFlightOpsDefault, 'maxInFlight', 1, limits.inFlightOpsMax),
    maxInFlightBytes: checkWhole(
      options.maxInFlightBytes ?? limits.inFlightBytesDefault,
      'maxInFlightBytes',
      limits.batchBytesMax * 2,
      Number.MAX_SAFE_INTEGER,
    ),
    connectTimeoutMs: checkWhole(
      options.connectTimeoutMs ?? limits.connectTimeoutMsDefault,
      'connectTimeoutMs',
      1,
      limits.connectTimeoutMsMax,
    ),
    failWhenRefused: checkFlag(options.failWhenRefused, 'failWhenRefused'),
    tls: checkTls(options.tls),
    addressMap: checkAddressMap(options.addressMap),
    zone: checkZone(options.zone),
    token: TokenSource.of(options),
    insecure: checkFlag(options.insecure, 'insecure'),
  }
  const open = config.endpoints.find((endpoint) => tellsToken(config, endpoint))
  if (open === undefined) return config
  throw invalidArgument(
    'token',
    `would be sent to ${open} without encryption: give tls, or insecure: true where nobody else can listen`,
  )
}

function checkEndpoints(endpoints: unknown): readonly string[] {
  if (!Array.isArray(endpoints) || endpoints.length === 0) {
    throw invalidArgument('endpoints', 'must name at least one node as host:port')
  }
  if (endpoints.length > limits.endpointsMax) {
    throw invalidArgument('endpoints', `must name at most ${limits.endpointsMax} nodes, got ${endpoints.length}`)
  }
  return [...new Set(endpoints.map((endpoint) => checkEndpoint(endpoint, 'endpoints')))]
}

function checkFlag(value: unknown, field: string): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false
  throw invalidArgument(field, `must be true or false, got ${String(value)}`)
}

function checkTls(tls: unknown): TlsOptions | undefined {
  if (tls === undefined || tls === false) return undefined
  if (tls === true) return {}
  if (typeof tls !== 'object' || tls === null) {
    throw invalidArgument('tls', 'must be true, false or an object with ca, cert and key')
  }
  const options = tls as TlsOptions
  for (const name of ['ca', 'cert', 'key'] as const) {
    const value: unknown = options[name]
    if (value !== undefined && typeof value !== 'string' && !(value instanceof Uint8Array)) {
      throw invalidArgument(`tls.${name}`, 'must be PEM text or bytes')
    }
  }
  if ((options.cert === undefined) !== (options.key === undefined)) {
    throw invalidArgument('tls', 'cert and key go together')
  }
  return options
}

function checkAddressMap(input: unknown): (address: string) => string {
  if (typeof input === 'function') return guarded(input as (address: string) => unknown)
  if (input !== undefined && (typeof input !== 'object' || input === null || Array.isArray(input))) {
    throw invalidArgument('addressMap', 'must be an object of addresses by address, or a function')
  }
  const map = new Map<string, string>()
  for (const [from, to] of Object.entries(input ?? {})) map.set(from, checkEndpoint(to, 'addressMap'))
  return (address) => map.get(address) ?? address
}

/** What the caller's function throws must not look like a failure of a node. */
function guarded(map: (address: string) => unknown): (address: string) => string {
  return (address) => {
    let mapped: unknown
    try {
      mapped = map(address)
    } catch (cause) {
      throw invalidArgument('addressMap', `threw for ${address}: ${asKvError(cause).message}`, cause)
    }
    return checkEndpoint(mapped, 'addressMap')
  }
}

function checkZone(zone: unknown): string | undefined {
  if (zone === undefined || (typeof zone === 'string' && zone !== '')) return zone
  throw invalidArgument('zone', `must be the name of a zone, got ${JSON.stringify(zone)}`)
}

/** `kv://host:port,host:port?tls=1&consistency=one&timeoutMs=500`, or the list of endpoints alone: see `KvClient`. */
function parseUrl(text: string): KvClientOptions {
  const match = /^(?:kv:\/\/)?([^/?#]*)\/?(?:\?([^#]*))?$/.exec(text)
  if (match === null)
    throw invalidArgument('url', `must look like kv://host:port,host:port, got ${JSON.stringify(text)}`)
  const options: Mutable<KvClientOptions> = { endpoints: (match[1] ?? '').split(',').map((part) => part.trim()) }
  for (const [name, value] of new URLSearchParams(match[2] ?? '')) applyParameter(options, name, value)
  return options
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function applyParameter(options: Mutable<KvClientOptions>, name: string, value: string): void {
  switch (name) {
    case 'consistency':
      options.consistency = checkConsistency(value)
      return
    case 'timeoutMs':
    case 'maxInFlight':
    case 'maxInFlightBytes':
    case 'connectTimeoutMs':
      options[name] = parseNumber(name, value)
      return
    case 'zone':
      options.zone = value
      return
    case 'addressMap':
      options.addressMap = { ...(options.addressMap as Record<string, string> | undefined), ...parseMap(value) }
      return
    case 'tokenFile':
      options.tokenFile = value
      return
    case 'failWhenRefused':
    case 'insecure':
      options[name] = parseFlag(name, value)
      return
    case 'tls':
      if (!parseFlag(name, value)) options.tls = false
      else if (options.tls === undefined) options.tls = true
      return
    case 'tlsCa':
    case 'tlsCert':
    case 'tlsKey':
      options.tls = { ...(typeof options.tls === 'object' && options.tls), [pemOf[name]]: readPem(name, value) }
      return
    default:
      throw invalidArgument('url', `unknown parameter ${JSON.stringify(name)}`)
  }
}

const pemOf = { tlsCa: 'ca', tlsCert: 'cert', tlsKey: 'key' } as const

/** `address=where,address=where`, which may come more than once. */
function parseMap(value: string): Record<string, string> {
  const entries = value.split(',').map((part): [string, string] => {
    const [from, to, more] = part.split('=')
    if (from === undefined || to === undefined || more !== undefined || from === '') {
      throw invalidArgument('addressMap', `must look like host:port=host:port,…, got ${JSON.stringify(value)}`)
    }
    return [from.trim(), to.trim()]
  })
  return Object.fromEntries(entries)
}

function parseNumber(name: string, value: string): number {
  if (!/^\d+$/.test(value)) throw invalidArgument(name, `must be a whole number, got ${JSON.stringify(value)}`)
  return Number(value)
}

function parseFlag(name: string, value: string): boolean {
  if (value === '1' || value === 'true') return true
  if (value === '0' || value === 'false') return false
  throw invalidArgument(name, `must be 1 or 0, got ${JSON.stringify(value)}`)
}

function readPem(name: string, path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw invalidArgument(name, `cannot read ${JSON.stringify(path)}`, cause)
  }
}
