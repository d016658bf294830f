import type { Slot } from '@quorumkv/internal/base'
import type { Liveness as CoreLiveness, Node } from '@quorumkv/internal/cluster'
import {
  type PlannedChange as CoreChange,
  type MemberState as CoreState,
  type SlotTable,
  slotCount,
  type Topology,
} from '@quorumkv/internal/slots'
import {
  type Handover,
  HandoverStep,
  Liveness,
  type Member,
  MemberState,
  type PlannedChange,
} from '@quorumkv/proto/kv/v1/cluster'

const wireStates: Readonly<Record<CoreState, MemberState>> = {
  joining: MemberState.JOINING,
  arrived: MemberState.ARRIVED,
  serving: MemberState.SERVING,
  leaving: MemberState.LEAVING,
  left: MemberState.LEFT,
}

const wireLiveness: Readonly<Record<CoreLiveness['status'], Liveness>> = {
  alive: Liveness.ALIVE,
  suspect: Liveness.SUSPECT,
  dead: Liveness.DEAD,
  left: Liveness.LEFT,
}

export function toMembers(node: Node, topology: Topology | undefined): Member[] {
  return (topology?.members ?? []).map((member) => ({
    id: member.id,
    number: member.number,
    address: member.address,
    zone: member.zone,
    weight: member.weight,
    incarnation: member.incarnation,
    state: wireStates[member.state],
    ...toLiveness(node.liveness(member)),
    levelMin: member.levels.min,
    levelMax: member.levels.max,
  }))
}

/** What a node believes of a member. */
export function toLiveness({ status, forMs }: CoreLiveness): Pick<Member, 'liveness' | 'livenessMs'> {
  return { liveness: wireLiveness[status], livenessMs: BigInt(Math.floor(forMs)) }
}

export function toPlanned(change: CoreChange): PlannedChange {
  const { kind, id } = change
  return {
    kind,
    id,
    weight: change.kind === 'reweight' ? change.weight : 0,
    by: change.kind === 'replace' ? change.by : '',
  }
}

/** How the handover stands that runs; undefined: none does. */
export function toHandover(node: Node): Handover | undefined {
  const { topology, handover: status } = node.status()
  if (topology?.handover === undefined) return undefined
  const { since, step, ring, changes } = topology.handover
  const joins = new Set(topology.members.filter(({ state }) => state === 'joining').map(({ id }) => id))
  return {
    since: BigInt(since),
    step: step === 'both' ? HandoverStep.BOTH : HandoverStep.SWITCH,
    changes: changes.map(toPlanned),
    joining: ring.flatMap(({ id }) => (joins.has(id) ? [id] : [])),
    reports: (status?.reports ?? []).map((report) => ({
      nodeId: report.id,
      slots: report.slots,
      done: report.done,
      bytes: whole(report.bytes),
      remainingBytes: report.remainingBytes === undefined ? undefined : whole(report.remainingBytes),
      remainingMs: report.remainingMs === undefined ? undefined : whole(report.remainingMs),
      obstacle: report.obstacle,
    })),
    waitsFor: [...(status?.waitsFor ?? [])],
  }
}

function whole(value: number): bigint {
  return BigInt(Math.round(value))
}

/** Slot by slot, the owners as 16-bit indexes into the members. */
export function encodeOwners(table: SlotTable): Buffer {
  const bytes = Buffer.allocUnsafe(slotCount * table.ownersPerSlot * 2)
  let at = 0
  for (let slot = 0; slot < slotCount; slot++) {
    for (const owner of table.owners(slot as Slot)) at = bytes.writeUInt16LE(owner, at)
  }
  return bytes
}
