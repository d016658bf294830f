import { invalidArgument, limits } from '../base/index.js'
import { accessLevel, checkAccessList } from './access.js'
import { goesBy, levelsText, parseLevels } from './levels.js'
import {
  currentRing,
  type Handover,
  type Member,
  type PlannedChange,
  type RemovedMember,
  type ReplicationSettings,
  type Topology,
  voters,
} from './topology.js'

/** What a quorum is where a slot has fewer owners than the replication factor. */
export interface EffectiveQuorums {
  readonly readQuorum: number
  readonly writeQuorum: number
}

function checkWhole(value: number, field: string, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw invalidArgument(field, `must be a whole number, ${least} to ${most}, got ${value}`)
  }
}

/**
 * Checks N, R and W. Throws `invalid-argument` naming the field, also where reads would not meet writes (R + W <= N:
 * a quorum read could miss an acknowledged write) or writes not each other (2W <= N: two writes could be acknowledged
 * by different owners, and the later get the lower version).
 */
export function parseReplicationSettings(settings: ReplicationSettings): ReplicationSettings {
  const { replicationFactor, readQuorum, writeQuorum } = settings
  checkWhole(replicationFactor, 'replicationFactor', 1, limits.replicationFactorMax)
  checkWhole(readQuorum, 'readQuorum', 1, replicationFactor)
  checkWhole(writeQuorum, 'writeQuorum', 1, replicationFactor)
  if (2 * writeQuorum <= replicationFactor) {
    const least = Math.floor(replicationFactor / 2) + 1
    throw invalidArgument('writeQuorum', `must be a majority of ${replicationFactor} copies, ${least} at least`)
  }
  if (readQuorum + writeQuorum <= replicationFactor) {
    const least = replicationFactor - writeQuorum + 1
    throw invalidArgument('readQuorum', `must be ${least} at least, so that reads meet writes at ${writeQuorum} copies`)
  }
  return { replicationFactor, readQuorum, writeQuorum }
}

/**
 * The quorums where only `memberCount` members are there to own a slot: as set, but at most all owners. Still safe: a
 * quorum of all owners meets every other, and two that were not lowered meet as they do among N owners, since there
 * are no more than N. Fewer copies are on disk, though: a single member acknowledges alone, whatever W is.
 */
export function effectiveQuorums(settings: ReplicationSettings, memberCount: number): EffectiveQuorums {
  const owners = Math.min(settings.replicationFactor, memberCount)
  return {
    readQuorum: Math.min(settings.readQuorum, owners),
    writeQuorum: Math.min(settings.writeQuorum, owners),
  }
}

/**
 * Checks a topology document as a whole and returns it. The parts that have parsers of their own (ids, addresses) are
 * taken as parsed. Throws `invalid-argument` naming the field.
 */
export function validateTopology(topology: Topology): Topology {
  const { epoch, replication, virtualNodes, members, nextNumber } = topology
  checkWhole(epoch, 'epoch', 1, Number.MAX_SAFE_INTEGER)
  parseReplicationSettings(replication)
  checkWhole(virtualNodes, 'virtualNodes', 1, limits.virtualNodesMax)
  checkWhole(members.length, 'members.length', 1, limits.membersMax)
  checkWhole(nextNumber, 'nextNumber', 2, 0xffffffff)
  const numbers = new Set<number>()
  const incarnations = new Set<string>()
  let last: Member | undefined
  for (const member of members) {
    checkMember(member)
    if (!goesBy(parseLevels(member.levels, 'members.levels'), topology.featureLevel)) {
      const [levels, level] = [levelsText(member.levels), topology.featureLevel]
      throw invalidArgument('members.levels', `${member.id} goes by ${levels}, and not by level ${level}`)
    }
    checkWhole(member.number, 'members.number', 1, nextNumber - 1)
    checkWhole(member.since, 'members.since', 1, epoch)
    if (last !== undefined && member.id <= last.id) {
      throw invalidArgument('members', `must have distinct ids in ascending order, got ${member.id} behind ${last.id}`)
    }
    if (numbers.has(member.number)) throw invalidArgument('members.number', `${member.number} is given twice`)
    if (incarnations.has(member.incarnation)) {
      throw invalidArgument('members.incarnation', `${member.id} shares ${member.incarnation} with another member`)
    }
    numbers.add(member.number)
    incarnations.add(member.incarnation)
    last = member
  }
  checkStates(topology)
  if (topology.handover !== undefined) checkHandover(topology.handover, topology)
  checkChanges(topology.planned, 'planned')
  checkRemoved(topology.removed, epoch, incarnations)
  checkAccess(topology)
  if (topology.forced !== undefined) {
    checkWhole(topology.forced.at, 'forced.at', 2, epoch)
    checkWhole(topology.forced.from, 'forced.from', 1, topology.forced.at - 1)
  }
  return topology
}

function checkAccess({ access, featureLevel, members }: Topology): void {
  checkAccessList(access)
  if (featureLevel >= accessLevel) return
  if (access.revision > 0) throw invalidArgument('access', `is not known at feature level ${featureLevel}`)
  if (members.some(({ authenticates }) => authenticates)) {
    throw invalidArgument('members.authenticates', `is not known at feature level ${featureLevel}`)
  }
}

function checkStates(topology: Topology): void {
  const { members, handover } = topology
  const ring = new Set(handover?.ring.map(({ id }) => id))
  for (const { id, state } of members) {
    const fits =
      state === 'joining' ||
      ((state === 'serving' || state === 'arrived') && (handover === undefined || ring.has(id))) ||
      (state === 'leaving' && handover !== undefined && !ring.has(id)) ||
      (state === 'left' && !ring.has(id))
    if (!fits) throw invalidArgument('members.state', `${id} cannot be ${state} with what the handover makes of it`)
  }
  if (currentRing(topology).length === 0) throw invalidArgument('members.state', 'nobody owns a slot')
  if (voters(topology).length === 0) throw invalidArgument('members.state', 'nobody votes')
}

function checkHandover({ since, ring, changes }: Handover, { epoch, members }: Topology): void {
  checkWhole(since, 'handover.since', 1, epoch)
  checkWhole(ring.length, 'handover.ring.length', 1, members.length)
  for (const [i, { id, weight }] of ring.entries()) {
    parseWeight(weight, 'handover.ring.weight')
    if (i > 0 && id <= ring[i - 1]!.id) {
      throw invalidArgument('handover.ring', `must have distinct ids in ascending order, got ${id}`)
    }
    if (!members.some((member) => member.id === id)) {
      throw invalidArgument('handover.ring', `${id} is not a member`)
    }
  }
  checkChanges(changes, 'handover.changes')
}

function checkChanges(changes: readonly PlannedChange[], field: string): void {
  checkWhole(changes.length, `${field}.length`, 0, limits.plannedChangesMax)
  for (const change of changes) {
    if (change.kind === 'reweight') parseWeight(change.weight, `${field}.weight`)
    if (change.kind === 'replace' && change.by === change.id) {
      throw invalidArgument(`${field}.by`, `${change.id} cannot take its own place`)
    }
  }
}

function checkRemoved(removed: readonly RemovedMember[], epoch: number, incarnations: ReadonlySet<string>): void {
  checkWhole(removed.length, 'removed.length', 0, limits.removedMembersMax)
  for (const former of removed) {
    checkWhole(former.epoch, 'removed.epoch', 1, epoch)
    if (incarnations.has(former.incarnation)) {
      throw invalidArgument('removed.incarnation', `${former.incarnation} of ${former.id} is a member`)
    }
  }
}

/** 1 to `limits.weightMax`. Throws `invalid-argument` naming `field`. */
export function parseWeight(weight: number, field = 'weight'): number {
  checkWhole(weight, field, 1, limits.weightMax)
  return weight
}

/** Up to 63 letters, digits, ".", "_" or "-"; empty: none. Throws `invalid-argument` naming `field`. */
export function parseZone(zone: string, field = 'zone'): string {
  if (!/^[A-Za-z0-9._-]{0,63}$/.test(zone)) {
    throw invalidArgument(field, `must be up to 63 letters, digits, ".", "_" or "-", got ${JSON.stringify(zone)}`)
  }
  return zone
}

function checkMember({ weight, zone }: Member): void {
  parseWeight(weight, 'members.weight')
  parseZone(zone, 'members.zone')
}
