import type { Address, NodeId } from '@quorumkv/internal/base'
import type { PeerName } from '@quorumkv/internal/cluster'
import type { FsyncPolicy } from '@quorumkv/internal/store'
import type { ListenAddress } from './addresses.js'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFormat = 'json' | 'pretty'

/** Everything that can be set, parsed. Durations are milliseconds, sizes bytes. */
export interface SettingValues {
  readonly addr: readonly ListenAddress[]
  readonly advertise: Address | undefined
  /** Undefined: no HTTP. */
  readonly httpAddr: readonly ListenAddress[] | undefined
  /** Names under which HTTP may be asked, besides this machine's own. */
  readonly httpAllowHost: readonly string[]
  readonly insecure: boolean
  /** Undefined: nobody is asked who they are. */
  readonly authFile: string | undefined
  /** Undefined: nothing is encrypted. */
  readonly tlsCert: string | undefined
  readonly tlsKey: string | undefined
  /** Undefined: callers are asked for no certificates. */
  readonly tlsCa: string | undefined
  readonly requireClientCert: boolean
  /** `/metrics` needs no token. */
  readonly metricsOpen: boolean
  /** Undefined: nodes need not know one. */
  readonly clusterSecretFile: string | undefined
  readonly reflection: boolean
  readonly peers: readonly PeerName[]
  readonly id: NodeId | undefined
  readonly zone: string
  readonly weight: number
  readonly virtualNodes: number
  readonly replicationFactor: number
  /** Undefined: a majority of the replicas. */
  readonly readQuorum: number | undefined
  readonly writeQuorum: number | undefined
  readonly dataDir: string
  readonly fsync: FsyncPolicy
  readonly fsyncIntervalMs: number
  readonly snapshotInterval: number
  readonly snapshotWalBytes: number
  readonly streamRate: number
  readonly maxClockDrift: number
  readonly probeIntervalMs: number
  readonly probeTimeoutMs: number
  readonly suspicionMult: number
  readonly gossipIntervalMs: number
  readonly gossipFanout: number
  /** 0: never. */
  readonly replaceAfter: number
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  /** Operations and bytes in a second; 0: as many as they want. */
  readonly rateLimit: number
  readonly byteRateLimit: number
  readonly logLevel: LogLevel
  /** 0: none is told of. */
  readonly slowMs: number
  /** Undefined: pretty on a terminal, else JSON. */
  readonly logFormat: LogFormat | undefined
}

export type SettingName = keyof SettingValues
