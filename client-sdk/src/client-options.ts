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
   * Shows nodes who calls, where they ask: a token, or a function that gives one; it is called before the first connection, and again
   * when nodes do not take what it gave. Default: the environment variable `KV_TOKEN`, if there is one. Only TLS keeps it
   * from whoever listens on the way: without, it is sent to this machine alone, unless `insecure` says otherwise.
   */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** The same out of a file, which is read before the first connection, and again when nodes do not take what stood there. */
  readonly tokenFile?: string | undefined
  /**
   * Sends the token also to other machines without TLS, for networks that nobody else listens to. Default: such endpoints are
   * refused, and members at such addresses are not connected to.
   */
  readonly insecure?: boolean | undefined
  /**
   * Fail with `unavailable` as soon as every endpoint has refused a connection or has a name that nobody knows, and no
   * node has been reached before: for programs that do one thing and end. Default: try again until the call's time is
   * over, so that a program may start before the nodes do.
   */
  readonly failWhenRefused?: boolean | undefined
  /**
   * Where a member is reached from here, by the address that the cluster knows it under: for networks with translated
   * addresses, containers for instance. A record of those that differ, or a function, which is asked for each member whenever a
   * topology comes, and gives `host:port`. Endpoints are not translated. While the function fails, the topology is not gone by.
   */
  readonly addressMap?: Readonly<Record<string, string>> | ((address: string) => string) | undefined
  /**
   * The zone that this program runs in, by the name that nodes were given with `--zone`. Reads at level `one` then go to an
   * owner of the key in that zone, if one is well. Everything else asks owners in other zones as well, wherever it is sent.
   */
  readonly zone?: string | undefined
}

/** Certificates and keys in PEM. */
export interface TlsOptions {
  /** The authorities to trust instead of the system's. */
  readonly ca?: string | Uint8Array | undefined
  /** The client's own certificate, where the cluster asks for one; together with `key`. */
  readonly cert?: string | Uint8Array | undefined
  /** The certificate's private key. */
  readonly key?: string | Uint8Array | undefined
}
