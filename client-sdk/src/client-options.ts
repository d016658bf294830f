import type { Consistency } from './types.js'

/** How a client is made. */
export interface KvClientOptions {
  /** `host:port` or `[ipv6]:port` of any members; the others are learned from them. At least one. */
  readonly endpoints: readonly string[]
  /** Default: the cluster's, `quorum`. */
  readonly consistency?: Consistency | undefined
  /** How long a call may take by default, in milliseconds; 1 to 600,000, default 5,000. */
  readonly timeoutMs?: number | undefined
  /** Operations that may wait for their results at a time; more are refused as `overloaded`. Default 16,384. */
  readonly maxInFlight?: number | undefined
  /** Bytes of keys and values that may wait likewise. Default 64 MiB. */
  readonly maxInFlightBytes?: number | undefined
  /** How long a connection may take to become usable, in milliseconds. Default 2,000. */
  readonly connectTimeoutMs?: number | undefined
  /** Encrypts the connections. `true` trusts the system's authorities. */
  readonly tls?: boolean | TlsOptions | undefined
  /**
   * Fail with `unavailable` as soon as every endpoint has refused a connection or has a name that nobody knows, and no
   * node has been reached before: for programs that do one thing and end. Default: try again until the call's time is
   * over, so that a program may start before the nodes do.
   */
  readonly failWhenRefused?: boolean | undefined
  /** Where a member is reached from here, by the address that the cluster knows it under: for networks with translated addresses. */
  readonly addressMap?: Readonly<Record<string, string>> | undefined
}

/** Certificates and keys in PEM. */
export interface TlsOptions {
  /** The authorities to trust instead of the system's. */
  readonly ca?: string | Uint8Array | undefined
  /** The client's own certificate and key, where the cluster asks for them. */
  readonly cert?: string | Uint8Array | undefined
  readonly key?: string | Uint8Array | undefined
}
