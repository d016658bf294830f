import type { Liveness, Node } from '@quorumkv/internal/cluster'
import type { Member, PlannedChange } from '@quorumkv/internal/slots'
import { HandoverStep } from '@quorumkv/proto/kv/v1/cluster'
import { encodeOwners, toHandover } from '../calls/topology-messages.js'
import type { ClusterFacts, HandoverView, RingView } from './view.js'

/** A change of the ring in words. */
export function changeText(change: PlannedChange): string {
  switch (change.kind) {
    case 'decommission':
      return `${change.id} leaves`
    case 'remove':
      return `${change.id} is removed`
    case 'reweight':
      return `${change.id} gets weight ${change.weight}`
    case 'replace':
      return `${change.by} takes the place of ${change.id}`
    default:
      return change satisfies never
  }
}

/** Before a node belongs to a cluster there is none to tell of. */
export function clusterFacts(node: Node | undefined, replaceAfterMs: number): ClusterFacts {
  const { topology } = node ?? {}
  const { replicationFactor = 0, readQuorum = 0, writeQuorum = 0 } = topology?.replication ?? {}
  return {
    clusterId: topology?.clusterId ?? '',
    epoch: topology?.epoch ?? 0,
    featureLevel: topology?.featureLevel ?? 0,
    forming: topology === undefined,
    replicationFactor,
    readQuorum,
    writeQuorum,
    planned: (topology?.planned ?? []).map(changeText),
    replaceAfterMs,
  }
}

export function ringView(node: Node | undefined): RingView {
  const { topology, slotTable } = node ?? {}
  if (topology === undefined || slotTable === undefined) return { members: [], ownersPerSlot: 0, owners: '' }
  return {
    members: topology.members.map(({ id }) => id),
    ownersPerSlot: slotTable.ownersPerSlot,
    owners: encodeOwners(slotTable).toString('base64'),
  }
}

/** How the handover stands that runs; null: none does. */
export function handoverView(node: Node): HandoverView | null {
  const running = toHandover(node)
  const { handover } = node.topology ?? {}
  if (running === undefined || handover === undefined) return null
  const joining = running.joining.map((id) => `${id} joins`)
  const purposes = [...joining, ...handover.changes.map(changeText)]
  return {
    since: Number(running.since),
    step: running.step === HandoverStep.BOTH ? 'both' : 'switch',
    purpose: purposes.length === 0 ? 'shares are evened out' : purposes.join(', '),
    waitsFor: running.waitsFor,
    reports: running.reports.map((report) => ({
      id: report.nodeId,
      slots: report.slots,
      done: report.done,
      bytes: Number(report.bytes),
      remainingBytes: Number(report.remainingBytes ?? -1n),
      remainingMs: Number(report.remainingMs ?? -1n),
      obstacle: report.obstacle,
    })),
  }
}

/** What this node believes of a member; of itself it knows. */
export function livenessOf(node: Node, member: Member): Liveness {
  const liveness = node.liveness(member)
  return member.id === node.id ? { ...liveness, status: 'alive' } : liveness
}
