import { randomBytes } from 'node:crypto'
import { type ClusterId, FatalError, type NodeId, parseNodeId } from '@quorumkv/internal/base'
import type { Clock, Disk, Log, PeerProof } from '@quorumkv/internal/env'
import { type Identity, readIdentity } from '@quorumkv/internal/store'
import type { NodeConfig } from '../config/config.js'
import type { HostSecurity } from '../grpc/grpc-host.js'
import { Certificates } from './certificates.js'
import { ClusterSecret } from './cluster-secret.js'
import type { OwnName } from './material.js'
import { nodeUri } from './names.js'
import { TlsDoor } from './tls-door.js'

/** What a node knows of itself once it runs. */
export interface RunningSelf {
  readonly id: NodeId
  readonly topology: { readonly clusterId: ClusterId } | undefined
}

/** Who a node is, and how it and others prove that. */
export interface NodeSecurity extends HostSecurity {
  /** Undefined: nothing is encrypted. */
  readonly certificates: Certificates | undefined
  /** What the node must be called; undefined: whatever its data directory says. */
  readonly id: NodeId | undefined
  /** What a cluster that it founds must be called; undefined: anything. */
  readonly clusterId: ClusterId | undefined
  /** Reads all files again. */
  reload(): Promise<void>
  close(): void
}

function usage(message: string): FatalError {
  return new FatalError('usage', message)
}

/** Throws FatalError `usage` where the certificate is that of another node than settings and data directory say. */
function checkOwnName(name: OwnName, config: Pick<NodeConfig, 'id' | 'tlsCert'>, known: Identity | undefined): void {
  const whose = `the certificate in ${config.tlsCert} is that of node ${name.nodeId} of cluster ${name.clusterId}`
  if (config.id !== undefined && config.id !== name.nodeId) throw usage(`${whose}, and --id is ${config.id}`)
  if (known === undefined) return
  if (known.nodeId !== name.nodeId) throw usage(`${whose}, and the data directory belongs to node ${known.nodeId}`)
  if (known.clusterId !== undefined && known.clusterId !== name.clusterId) {
    throw usage(`${whose}, and the data directory belongs to cluster ${known.clusterId}`)
  }
}

export interface SecurityParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  /** The node, once it is there. */
  readonly node: () => RunningSelf | undefined
}

/**
 * Reads certificate and secret, and finds out who this node is. Rejects with `invalid-argument` and FatalError `usage` where
 * they are no good, or not this node's.
 */
export async function openSecurity(
  config: NodeConfig,
  { disk, clock, log, node }: SecurityParts,
): Promise<NodeSecurity> {
  const { tlsCert: cert, tlsKey: key, tlsCa: ca, clusterSecretFile, requireClientCert } = config
  const secret = clusterSecretFile === undefined ? undefined : await ClusterSecret.read(clusterSecretFile)
  const certificates =
    cert === undefined || key === undefined
      ? undefined
      : await Certificates.open({ files: { cert, key, ca }, clock, log })
  try {
    const known = await readIdentity(disk)
    const name = certificates?.material.hasAuthority === true ? certificates.material.name : undefined
    if (name !== undefined) checkOwnName(name, config, known)
    else if (certificates?.material.hasAuthority === true && secret === undefined) {
      const uri = nodeUri('<cluster id>', '<node id>')
      throw usage(
        `the certificate in ${cert} names no node, by which other nodes could know this one: have it made with the URI ${uri} ` +
          '(as kv-server certs init does), or let nodes prove themselves by --cluster-secret-file',
      )
    }
    // Who proves something under a name has to know it before the node has drawn one.
    const drawn = secret === undefined ? undefined : parseNodeId(`node-${randomBytes(6).toString('hex')}`)
    const id = name?.nodeId ?? config.id ?? known?.nodeId ?? drawn
    const door = new TlsDoor({ clock, log })
    const self = (): PeerProof => ({
      nodeId: node()?.id ?? id ?? '',
      clusterId: node()?.topology?.clusterId ?? known?.clusterId ?? name?.clusterId ?? '',
    })
    return {
      certificates,
      tls: certificates === undefined ? undefined : { certificates, requireClientCert, door },
      trust: { certificates, secret, self },
      id,
      clusterId: name?.clusterId,
      reload: async () => void (await certificates?.reload()),
      close: () => {
        certificates?.close()
        door.close()
      },
    }
  } catch (error) {
    certificates?.close()
    throw error
  }
}

/** Says so where clients that check names would not take this node for who it is. */
export function warnOfName(certificates: Certificates | undefined, host: string, log: Log): void {
  if (certificates === undefined || certificates.material.isFor(host)) return
  log.warn('clients are told to come to a name that the certificate is not for: they will refuse it', { host })
}
