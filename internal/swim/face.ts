import { type Address, invalidArgument, limits, type NodeId } from '../base/index.js'
import type { Random } from '../env/index.js'
import type { MemberStatus, SwimMessage } from './messages.js'

/** A member as the topology names it. `number` stands for this life of its data directory and is never reused. */
export interface SwimMember {
  readonly id: NodeId
  readonly number: number
  /** Where it is reached until it says otherwise itself. */
  readonly address: Address
}

/** How fast failures are found; see `--help` of the server. */
export interface SwimSettings {
  readonly probeIntervalMs: number
  /** What a probe waits for a direct answer before others are asked to try; at most half of the interval is sound. */
  readonly probeTimeoutMs: number
  /** The shortest suspicion, in probe intervals of a small cluster; two less must confirm it in a larger one. */
  readonly suspicionMult: number
  readonly gossipIntervalMs: number
  /** Members that are told in each gossip interval in which there is anything to tell. */
  readonly gossipFanout: number
}

export interface SwimOptions extends SwimSettings {
  readonly self: SwimMember
  /** What all should know of this node, at most `limits.swimMetaBytesMax`. The bytes must not change afterwards. */
  readonly meta?: Uint8Array
  /** Where the count of refutations begins, at random unless given. Higher ones that others remember are overtaken. */
  readonly refutation?: number
  readonly random: Random
  readonly nowMs: number
}

/** A message on its way: to the node `to`, which is reached at `address`. */
export interface OutgoingMessage {
  readonly to: NodeId
  readonly address: string
  readonly message: SwimMessage
}

/**
 * What has become of a member, in the eyes of this node.
 * - `alive`: first word of it, or it has refuted a suspicion. `returned`: it is back after `dead` or `left`.
 * - `updated`: its address or its meta is another one.
 */
export interface SwimEvent {
  readonly kind: MemberStatus | 'returned' | 'updated'
  readonly id: NodeId
  readonly number: number
}

/** What one call has led to. Messages may be lost, come late and in any order; each is to be sent once, if at all. */
export interface SwimOutput {
  readonly messages: readonly OutgoingMessage[]
  readonly events: readonly SwimEvent[]
}

/** What this node believes about another member. */
export interface MemberView {
  readonly id: NodeId
  readonly number: number
  readonly status: MemberStatus
  /** Since when, in the monotonic time of the calls. */
  readonly sinceMs: number
  /** 0: it has not spoken for itself yet. */
  readonly refutation: number
  readonly address: string
  readonly meta: Uint8Array
  /** Members whose own probes of it have failed, while it is suspect. */
  readonly accusers: readonly number[]
}

/** Throws `invalid-argument` for settings that cannot work. */
export function checkSettings(settings: SwimSettings): void {
  const { probeIntervalMs, probeTimeoutMs, suspicionMult, gossipIntervalMs, gossipFanout } = settings
  const named = { probeIntervalMs, probeTimeoutMs, suspicionMult, gossipIntervalMs, gossipFanout }
  for (const [name, value] of Object.entries(named)) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw invalidArgument(name, `must be a whole number from 1, got ${value}`)
  }
}

/** Throws `invalid-argument` where there is too much of it. */
export function checkMeta(meta: Uint8Array): void {
  if (meta.length <= limits.swimMetaBytesMax) return
  throw invalidArgument('meta', `has ${meta.length} bytes, more than ${limits.swimMetaBytesMax}`)
}
