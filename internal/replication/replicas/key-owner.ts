import type { Slot } from '../../base/index.js'
import { type Version, zeroVersion } from '../../hlc/index.js'
import type { Quorums } from '../../quorum/index.js'
import type { Routing } from '../operations/routing.js'
import { ownersOf } from '../transfer/slot-quorums.js'
import type { Replica } from './replica.js'

/** What a read knows of one owner of its key. */
export interface KeyOwner {
  readonly member: number
  /** Its bit in quorums. */
  readonly bit: number
  /**
   * `asked` for its version or record; `held`: `version` is what it has; `failed`: not to be counted on; `waiting`: it
   * goes by another epoch, or has no link at the moment, and is a spare again at the next turn to ask.
   */
  state: 'spare' | 'asked' | 'held' | 'failed' | 'waiting'
  /** It failed because it has lost part of the slot. */
  refilling: boolean
  version: Version
  /** A full read is on its way to it. */
  fetching: boolean
  /** The version of the record that is on its way to it. */
  repairing: Version | undefined
}

/** Whether it is worth while to bring an owner the newest version now. */
export function isToRepair({ state }: KeyOwner): boolean {
  return state !== 'failed' && state !== 'waiting'
}

const ranks = 3

/** Who is up comes first; of those, whoever failure detection holds for alive: a link may take a while to break. */
function rankOf({ up, doubted }: Replica): number {
  return up ? (doubted ? 1 : 0) : 2
}

function ownerAt(members: Uint16Array, position: number): KeyOwner {
  // One literal: a spread of another object in it made a read cost 10 microseconds here instead of half of one.
  return {
    member: members[position]!,
    bit: 1 << position,
    state: 'spare',
    refilling: false,
    version: zeroVersion,
    fetching: false,
    repairing: undefined,
  }
}

/**
 * The owners in the order of asking: those first that are on both sides of a move, then those of the side
 * that is read; among equals this node, then those that are up (the doubted ones last), in the order of the ring.
 */
export function preferenceList(routing: Routing, slot: Slot, wanted: Quorums): KeyOwner[] {
  const members = ownersOf(routing, slot)
  const list: KeyOwner[] = []
  for (let i = 0; i < members.length; i++) if (members[i] === routing.self) list.push(ownerAt(members, i))
  // Mostly all are up, and one pass finds them.
  for (let rank = 0; rank < ranks && list.length < members.length; rank++) {
    for (let i = 0; i < members.length; i++) {
      const member = members[i]!
      if (member !== routing.self && rankOf(routing.replicas[member]!) === rank) list.push(ownerAt(members, i))
    }
  }
  if (wanted.length === 1) return list
  const weight = ({ bit }: KeyOwner): number =>
    wanted.reduce((sum, { group }, i) => sum + ((group & bit) === 0 ? 0 : wanted.length - i), 0)
  return list.sort((a, b) => weight(b) - weight(a))
}
