import { invalidArgument, KvError, type NodeId, type Slot } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { ConvergenceStatus, RepairProgress } from '@quorumkv/internal/replication'
import { slotCount } from '@quorumkv/internal/slots'
import type { RepairRequest, RepairResponse, ConvergenceStatus as WireConvergence } from '@quorumkv/proto/kv/v1/cluster'

/**
 * Begins a repair, or tells of one that began earlier. Throws KvError: `invalid-argument` with the field, `overloaded`
 * where too many wait, `unavailable` where the node does not serve.
 */
export function answerRepair(request: RepairRequest, node: Node): RepairResponse {
  const { repairId, slot, node: member } = request
  const { repairs } = node
  if (repairs === undefined) throw new KvError('unavailable', 'this node does not serve')
  if (repairId !== 0n) return toRepairResponse(node.id, repairs.repairProgress(Number(repairId)))
  if (slot !== undefined && slot >= slotCount) {
    throw invalidArgument('slot', `must be absent or 0 to ${slotCount - 1}, got ${slot}`)
  }
  const what = { slot: slot as Slot | undefined, node: member === '' ? undefined : (member as NodeId) }
  return toRepairResponse(node.id, repairs.repair(what))
}

function toRepairResponse(nodeId: NodeId, progress: RepairProgress): RepairResponse {
  return {
    nodeId,
    repairId: BigInt(progress.id),
    done: progress.done,
    members: progress.members,
    membersDone: progress.membersDone,
    slotsDiffering: BigInt(progress.differing),
    slotsRepaired: BigInt(progress.repaired),
    slotsSkipped: BigInt(progress.skipped),
    recordsPulled: BigInt(progress.pulled),
    recordsPushed: BigInt(progress.pushed),
    bytes: BigInt(progress.bytes),
    obstacles: progress.obstacles.map(({ node, reason }) => ({ nodeId: node, reason })),
  }
}

/** Part of a node's status. */
export function toConvergence({ peers, recordsPulled, recordsPushed }: ConvergenceStatus): WireConvergence {
  return {
    peers: peers.map(({ node, comparedMsAgo, differingSlots, obstacle }) => ({
      nodeId: node,
      comparedMsAgo: comparedMsAgo === undefined ? undefined : BigInt(Math.floor(comparedMsAgo)),
      differingSlots,
      obstacle,
    })),
    recordsPulled: BigInt(recordsPulled),
    recordsPushed: BigInt(recordsPushed),
  }
}
