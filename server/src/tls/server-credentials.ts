import { ServerCredentials } from '@grpc/grpc-js'
import { limits } from '@quorumkv/internal/base'
import type { Certificates } from './certificates.js'
import type { TlsDoor } from './tls-door.js'

/** How a server of a node speaks TLS. */
export interface ServerTls {
  readonly certificates: Certificates
  /** Nobody gets through without a certificate that the authorities vouch for. */
  readonly requireClientCert: boolean
  /** Watches the servers. */
  readonly door: TlsDoor
}

/** What TLS servers of either protocol are given besides the certificate. */
export interface ServerTlsOptions {
  readonly requestCert: boolean
  readonly rejectUnauthorized: boolean
  readonly handshakeTimeout: number
}

export function serverTlsOptions({ certificates, requireClientCert }: ServerTls): ServerTlsOptions {
  return {
    // Who has no certificate may still be let in by other means; who shows one is known by it.
    requestCert: certificates.material.hasAuthority,
    rejectUnauthorized: requireClientCert,
    handshakeTimeout: limits.httpHeadersTimeoutMs,
  }
}

/**
 * Credentials of a gRPC server that follow the files. Those of `createSsl` cannot change, and take certificates only where all
 * callers must have one; those that grpc-js makes of certificate providers can do both, and are experimental. What both are
 * built of is public.
 */
export class FollowingServerCredentials extends ServerCredentials {
  constructor(tls: ServerTls) {
    super({ ...serverTlsOptions(tls) }, tls.certificates.material.context)
    tls.certificates.onChange(({ context }) => this.updateSecureContextOptions(context))
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this
  }
}
