export { KvError } from '@quorumkv/server'
export type { ClusterClock, LocalNode, LocalNodeState, LocalSettings, PartitionOptions } from '@quorumkv/server/local'
export { type ClientOptions, type Cluster, type ClusterOptions, startCluster } from './cluster.js'
