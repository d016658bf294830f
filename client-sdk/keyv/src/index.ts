/**
 * QuorumKV as a store of Keyv.
 *
 * @module @quorumkv/keyv
 */

export { KvError } from '@quorumkv/client'
export {
  KeyvQuorumKv,
  KeyvQuorumKv as default,
  type KeyvQuorumKvOptions,
  type KeyvQuorumKvSource,
  type SerializedEntry,
} from './store.js'
