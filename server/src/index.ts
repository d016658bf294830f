/**
 * A node inside your own process: `startNode()`, what `kv-server` runs.
 *
 * @module @quorumkv/server
 */

export { FatalError, type FatalReason, KvError } from '@quorumkv/internal/base'
export type { Log } from '@quorumkv/internal/env'
export type { NodeSettings, SettingInput } from './config/config.js'
export type { RunningNode } from './hosted-node.js'
export { type StartNodeOptions, startNode } from './start-node.js'
export type { OwnerTrace, ServerOperationTrace, ServerReplicaTrace, ServerTrace } from './tracing/channels.js'
