export { KvError } from '@quorumkv/client'
export { KeyvQuorumKv, KeyvQuorumKv as default, type KeyvQuorumKvOptions, type KeyvQuorumKvSource } from './store.js'
