import type { Address, ClusterId, Epoch, Incarnation, NodeId } from '../base/index.js'

export interface ReplicationSettings {
  readonly replicationFactor: number
  readonly readQuorum: number
  readonly writeQuorum: number
}

export interface Member {
  readonly id: NodeId
  readonly incarnation: Incarnation
  /** The short number that versions carry; 1 to 2^32-1, unique, never reused within a cluster. */
  readonly number: number
  readonly address: Address
  /** Empty: none. */
  readonly zone: string
  /** A whole number, 1 to 1,000: how many shares of the ring. */
  readonly weight: number
  /** The epoch from which on this incarnation is a member; 1: it is a founder. */
  readonly since: Epoch
}

/** Who belongs to the cluster and how it replicates: one small document, changed as a whole, one epoch at a time. */
export interface Topology {
  readonly clusterId: ClusterId
  readonly epoch: Epoch
  readonly replication: ReplicationSettings
  readonly virtualNodes: number
  /** Ordered by id. */
  readonly members: readonly Member[]
  /** What the next incarnation that becomes a member gets as its number: above all that were ever given. */
  readonly nextNumber: number
}
