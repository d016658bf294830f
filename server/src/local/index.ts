/**
 * Clusters inside one process, whose clocks, disks and networks can be made to fail.
 *
 * @module @quorumkv/server/local
 */

export type { NodeSettings, SettingInput } from '../config/config.js'
export {
  type ClusterClock,
  LocalCluster,
  type LocalClusterOptions,
  type LocalSettings,
  type PartitionOptions,
  startLocalCluster,
} from './local-cluster.js'
export type { LocalNode, LocalNodeState } from './local-node.js'
