/**
 * A whole cluster inside a test, with faults.
 *
 * @module @quorumkv/testing
 */

export { KvError } from '@quorumkv/client'
export type { ClusterClock, LocalNode, LocalNodeState, LocalSettings, PartitionOptions } from '@quorumkv/server/local'
export { type ClientOptions, type Cluster, type ClusterOptions, startCluster } from './cluster.js'
