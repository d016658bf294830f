export type { Member, ReplicationSettings, Topology } from './topology.js'
