import { murmur3_32 } from '@quorumkv/internal/hash'
import {
  type RepairResponse,
  type SnapshotResponse,
  type StatusResponse,
  type TopologyResponse,
  type ConvergenceStatus as WireConvergence,
  type HintStatus as WireHints,
  Liveness as WireLiveness,
  type Member as WireMember,
  MemberState as WireMemberState,
  type ReplicationSettings as WireReplication,
} from '@quorumkv/proto/kv/v1/cluster'
import { KvError } from '../errors.js'
import { limits } from '../limits.js'
import { changeOf, handoverOf } from '../operator/change-messages.js'
import type { HandoverStatus, PlannedChange } from '../operator/changes.js'
import type {
  ClusterStatus,
  ClusterTopology,
  Liveness,
  Member,
  MemberState,
  RepairProgress,
  ReplicationSettings,
  SnapshotTaken,
} from '../operator/cluster-types.js'
import type { ConvergenceStatus, HintStatus } from '../operator/node-status.js'
import { parseEndpoint } from './endpoints.js'

/** A topology as the client routes by it. It never changes: a newer one replaces it. */
export class TopologyView implements ClusterTopology {
  readonly clusterId: string
  readonly epoch: number
  readonly replication: ReplicationSettings
  readonly members: readonly Member[]
  readonly slots: number
  readonly ownersPerSlot: number
  readonly handover: HandoverStatus | undefined
  readonly planned: readonly PlannedChange[]
  /** slots × ownersPerSlot indexes into `members`. */
  private readonly table: Uint16Array
  /** The same for the other side of a handover; empty where none runs. */
  private readonly otherTable: Uint16Array
  private readonly shift: number

  private constructor(response: TopologyResponse, table: Uint16Array, otherTable: Uint16Array) {
    this.clusterId = response.clusterId
    this.epoch = Number(response.epoch)
    this.replication = replicationOf(response.replication)
    this.members = response.members.map(memberOf)
    this.slots = response.slots
    this.ownersPerSlot = response.ownersPerSlot
    this.table = table
    this.otherTable = otherTable
    this.handover = handoverOf(response.handover)
    this.planned = response.planned.map(changeOf)
    this.shift = 32 - Math.log2(response.slots)
  }

  /** Checks what a node sent. Undefined: the node has no topology yet. Throws `internal` for what cannot be right. */
  static from(response: TopologyResponse, node: string): TopologyView | undefined {
    if (response.epoch === 0n || response.members.length === 0) return undefined
    const wrong = (what: string): KvError => new KvError('internal', `${node}: sent a topology with ${what}`, { node })
    const { slots, ownersPerSlot, owners, members } = response
    if (slots < 2 || slots > limits.slotsMax || (slots & (slots - 1)) !== 0) throw wrong(`${slots} slots`)
    if (ownersPerSlot < 1 || ownersPerSlot > members.length) throw wrong(`${ownersPerSlot} owners per slot`)
    for (const { address } of members) {
      if (parseEndpoint(address) === undefined) throw wrong(`the address ${JSON.stringify(address)}`)
    }
    const tableOf = (bytes: Buffer, perSlot: number): Uint16Array => {
      if (bytes.length !== slots * perSlot * 2) throw wrong(`an owner table of ${bytes.length} bytes`)
      const table = new Uint16Array(slots * perSlot)
      for (let i = 0; i < table.length; i++) {
        table[i] = bytes.readUInt16LE(i * 2)
        if (table[i]! >= members.length) throw wrong(`an owner that is no member`)
      }
      return table
    }
    const { otherOwners, otherOwnersPerSlot } = response
    if (otherOwnersPerSlot > members.length) throw wrong(`${otherOwnersPerSlot} owners per slot`)
    return new TopologyView(response, tableOf(owners, ownersPerSlot), tableOf(otherOwners, otherOwnersPerSlot))
  }

  slotOf(hash: number): number {
    return hash >>> this.shift
  }

  owners(slot: number): readonly Member[] {
    return this.ownersIn(this.table, slot)
  }

  otherOwners(slot: number): readonly Member[] {
    return this.ownersIn(this.otherTable, slot)
  }

  private ownersIn(table: Uint16Array, slot: number): readonly Member[] {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.slots) return []
    const perSlot = table.length / this.slots
    return Array.from(table.subarray(slot * perSlot, (slot + 1) * perSlot), (owner) => this.members[owner]!)
  }

  /** The owner of a slot in place `rank`, 0 being the preferred one, as an index into `members`. */
  ownerIndex(slot: number, rank: number): number {
    return this.table[slot * this.ownersPerSlot + rank]!
  }
}

export function hashOf(key: Uint8Array): number {
  return murmur3_32(key) >>> 0
}

export function statusOf(response: StatusResponse): ClusterStatus {
  const { storage } = response
  return {
    nodeId: response.nodeId,
    clusterId: response.clusterId,
    epoch: Number(response.epoch),
    members: response.members.map(memberOf),
    replication: replicationOf(response.replication),
    serverVersion: response.serverVersion,
    uptimeMs: Number(response.uptimeMs),
    storage: {
      entries: Number(storage?.entries ?? 0n),
      tombstones: Number(storage?.tombstones ?? 0n),
      tableBytes: Number(storage?.tableBytes ?? 0n),
      logBytes: Number(storage?.logBytes ?? 0n),
      logSegments: storage?.logSegments ?? 0,
      lastSequence: Number(storage?.lastSequence ?? 0n),
      snapshotSequence: Number(storage?.snapshotSequence ?? 0n),
      readOnly: storage?.readOnly ?? false,
      lostSlots: storage?.lostSlots ?? 0,
      refillObstacle: storage?.refillObstacle ?? '',
      floorMs: Number(storage?.floorMs ?? 0n),
      floorObstacle: storage?.floorObstacle ?? '',
    },
    convergence: convergenceOf(response.convergence),
    hints: response.hints.map(hintsOf),
    forming: response.forming,
    handover: handoverOf(response.handover),
    planned: response.planned.map(changeOf),
    draining: response.draining,
    operations: response.operations,
    featureLevel: response.featureLevel,
    certificates: response.certificates.map(({ kind, subject, validFromMs, expiresAtMs }) => {
      return { kind, subject, validFromMs: Number(validFromMs), expiresAtMs: Number(expiresAtMs) }
    }),
    certificateProblem: response.certificateProblem,
  }
}

export function snapshotOf(response: SnapshotResponse): SnapshotTaken {
  return {
    nodeId: response.nodeId,
    sequence: Number(response.sequence),
    records: Number(response.records),
    bytes: Number(response.bytes),
    durationMs: Number(response.durationMs),
  }
}

export function repairOf(response: RepairResponse): RepairProgress {
  return {
    nodeId: response.nodeId,
    done: response.done,
    members: response.members,
    membersDone: response.membersDone,
    slotsDiffering: Number(response.slotsDiffering),
    slotsRepaired: Number(response.slotsRepaired),
    slotsSkipped: Number(response.slotsSkipped),
    recordsPulled: Number(response.recordsPulled),
    recordsPushed: Number(response.recordsPushed),
    bytes: Number(response.bytes),
    obstacles: response.obstacles.map(({ nodeId, reason }) => ({ nodeId, reason })),
  }
}

function convergenceOf(convergence: WireConvergence | undefined): ConvergenceStatus {
  return {
    peers: (convergence?.peers ?? []).map(({ nodeId, comparedMsAgo, differingSlots, obstacle }) => ({
      nodeId,
      comparedMsAgo: comparedMsAgo === undefined ? undefined : Number(comparedMsAgo),
      differingSlots,
      obstacle,
    })),
    recordsPulled: Number(convergence?.recordsPulled ?? 0n),
    recordsPushed: Number(convergence?.recordsPushed ?? 0n),
  }
}

function hintsOf({ nodeId, hints, bytes, oldestMsAgo, dropped }: WireHints): HintStatus {
  return {
    nodeId,
    hints: Number(hints),
    bytes: Number(bytes),
    oldestMsAgo: Number(oldestMsAgo),
    dropped: Number(dropped),
  }
}

function replicationOf(settings: WireReplication | undefined): ReplicationSettings {
  return {
    replicationFactor: settings?.replicationFactor ?? 0,
    readQuorum: settings?.readQuorum ?? 0,
    writeQuorum: settings?.writeQuorum ?? 0,
  }
}

function memberOf(member: WireMember): Member {
  return {
    id: member.id,
    number: member.number,
    address: member.address,
    zone: member.zone,
    weight: member.weight,
    incarnation: member.incarnation,
    state: stateOf(member.state),
    levels: { min: member.levelMin, max: member.levelMax },
    liveness: livenessOf(member.liveness),
    livenessMs: Number(member.livenessMs),
  }
}

/** A newer node may send what this client does not know yet. */
function stateOf(state: WireMemberState): MemberState {
  switch (state) {
    case WireMemberState.JOINING:
      return 'joining'
    case WireMemberState.ARRIVED:
      return 'arrived'
    case WireMemberState.SERVING:
      return 'serving'
    case WireMemberState.LEAVING:
      return 'leaving'
    case WireMemberState.LEFT:
      return 'left'
    default:
      return 'unknown'
  }
}

function livenessOf(liveness: WireLiveness): Liveness {
  switch (liveness) {
    case WireLiveness.ALIVE:
      return 'alive'
    case WireLiveness.SUSPECT:
      return 'suspect'
    case WireLiveness.DEAD:
      return 'dead'
    case WireLiveness.LEFT:
      return 'left'
    default:
      return 'unknown'
  }
}
