import { isIP } from 'node:net'
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls'
import { KvError } from '@quorumkv/internal/base'
import type { PeerProof } from '@quorumkv/internal/env'
import type { Certificates } from './certificates.js'
import type { ClusterSecret } from './cluster-secret.js'
import type { TlsMaterial } from './material.js'
import { certificateName, nameText } from './names.js'

/** How the ends of a link between nodes find out about each other. */
export interface LinkTrust {
  /** Undefined: links are not encrypted. */
  readonly certificates: Certificates | undefined
  /** Undefined: nobody has to know one. */
  readonly secret: ClusterSecret | undefined
  /** Who this node is; its cluster is empty while it belongs to none. */
  readonly self: () => PeerProof
}

/** Everybody who can reach a node is taken for what they say they are. */
export const blindTrust: LinkTrust = {
  certificates: undefined,
  secret: undefined,
  self: () => ({ nodeId: '', clusterId: '' }),
}

/**
 * Whom a certificate proves the other end of a link to be, by its alternative names; the chain to an authority of `own` has been
 * checked. Undefined: this cluster's certificates name no nodes, and something else must prove it. Throws `permission-denied`
 * for a certificate that is not that of a node of the same cluster.
 */
export function provedByCertificate(own: TlsMaterial, subjectAltName: string | undefined): PeerProof | undefined {
  if (!own.hasAuthority || own.name === undefined) return undefined
  const name = certificateName(subjectAltName)
  if (name?.kind !== 'node') {
    throw new KvError('permission-denied', `links are for nodes, and its certificate names ${nameText(name)}`)
  }
  const { nodeId, clusterId } = name
  if (clusterId !== own.name.clusterId) {
    const ours = own.name.clusterId
    throw new KvError(
      'permission-denied',
      `its certificate is that of ${nameText(name)}, and this node's cluster is ${ours}`,
    )
  }
  return { nodeId, clusterId }
}

/**
 * Opens an encrypted connection to another node. The other side is checked before anything is sent: by its certificate's name
 * where authorities of the cluster's own decide, which makes where it is reached meaningless, else by that host's name.
 * `proved` is told the outcome.
 */
export function dialEncrypted(
  host: string,
  port: number,
  certificates: Certificates,
  proved: (proof: PeerProof | undefined) => void,
): TLSSocket {
  const { material } = certificates
  return connectTls({
    host,
    port,
    ALPNProtocols: ['h2'],
    ...material.context,
    // Names are asked for by name; an address must not be.
    ...(isIP(host) === 0 && { servername: host }),
    checkServerIdentity: (name, certificate) => {
      if (!material.hasAuthority) return checkServerIdentity(name, certificate)
      try {
        proved(provedByCertificate(material, certificate.subjectaltname))
        return undefined
      } catch (error) {
        if (error instanceof KvError) return error
        throw error
      }
    },
  })
}
