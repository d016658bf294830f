export { FatalError, type FatalReason, KvError } from '@quorumkv/internal/base'
export type { Log } from '@quorumkv/internal/env'
export type { NodeSettings, SettingInput } from './config.js'
export { type RunningNode, type StartNodeOptions, startNode } from './start-node.js'
