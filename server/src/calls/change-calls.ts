import { invalidArgument, KvError, type NodeId, parseEpoch, parseNodeId } from '@quorumkv/internal/base'
import type { Members, Node, PlanWithEstimate, WantedChange } from '@quorumkv/internal/cluster'
import { commonLevel } from '@quorumkv/internal/slots'
import {
  ChangePlan_Begins as Begins,
  type CancelHandoverRequest,
  type ChangeResponse,
  type DrainResponse,
  type ForceRemoveRequest,
  type ForceRemoveResponse,
  type RaiseLevelResponse,
  type SafeToStopResponse,
  type StreamRateRequest,
  type StreamRateResponse,
  type ChangePlan as WirePlan,
} from '@quorumkv/proto/kv/v1/cluster'
import { toPlanned } from './topology-messages.js'

/*
 * Changes of the ring and going down, as kv.v1.Cluster tells them. All throw KvError: `invalid-argument` with the field,
 * `unavailable` where the node does not serve, or no majority can be had.
 */

/** The id of a member, from a request. */
export function memberId(field: string, text: string): NodeId {
  if (text === '') throw invalidArgument(field, 'must name a member')
  return parseNodeId(text, field)
}

/** How long the caller still waits, in milliseconds: why a change does not come has to be told before that. */
export type TimeLeft = () => number

/** Tells what a change comes to, and asks for it unless that was all that was wanted. */
export async function answerChange(
  node: Node,
  change: WantedChange,
  dryRun: boolean,
  timeLeft: TimeLeft,
): Promise<ChangeResponse> {
  const members = membersOf(node)
  const plan = await members.plan(change)
  if (!dryRun && plan.begins !== 'not') await members.request(change, timeLeft())
  // What a dry run has seen is what its epoch names.
  return { plan: toPlan(plan), epoch: BigInt(dryRun ? plan.epoch : (node.topology?.epoch ?? plan.epoch)) }
}

/** Calls off what was seen at an epoch; a dry run without one is about whatever is there now. */
export async function answerCancel(
  node: Node,
  { id, dryRun, epoch }: CancelHandoverRequest,
  timeLeft: TimeLeft,
): Promise<ChangeResponse> {
  membersOf(node)
  if (epoch === 0n && !dryRun)
    throw invalidArgument('epoch', 'must be that of the dry run, so that nothing else is called off')
  const member = id === '' ? undefined : memberId('id', id)
  const seen = epoch === 0n ? node.topology!.epoch : parseEpoch(epoch)
  return await answerChange(node, { kind: 'cancel', id: member, epoch: seen }, dryRun, timeLeft)
}

/** Removes dead members without a majority, or tells what would come of it. */
export async function answerForceRemove(
  node: Node,
  { ids, epoch, dryRun }: ForceRemoveRequest,
): Promise<ForceRemoveResponse> {
  if (ids.length === 0) throw invalidArgument('ids', 'must name members')
  const removal = { ids: ids.map((id) => memberId('ids', id)), epoch: Number(epoch) }
  const { topology, empty, doubtful } = await membersOf(node).force(removal, dryRun)
  return {
    nodeId: node.id,
    epoch: BigInt(node.topology?.epoch ?? 0),
    emptySlots: [...empty],
    doubtfulSlots: doubtful.length,
    remaining: topology.members.map(({ id }) => id),
  }
}

/** Raises the feature level as far as all members can go, or tells how far that is. */
export async function answerRaiseLevel(node: Node, dryRun: boolean, timeLeft: TimeLeft): Promise<RaiseLevelResponse> {
  const members = membersOf(node)
  const { featureLevel: before, members: all } = node.topology!
  if (dryRun) return { before, after: Math.max(before, commonLevel(all.map(({ levels }) => levels)) ?? before) }
  await members.request({ kind: 'raise-level' }, timeLeft())
  return { before, after: node.topology!.featureLevel }
}

export async function answerSafeToStop(node: Node, id: string): Promise<SafeToStopResponse> {
  return await membersOf(node).safeToStop(memberId('id', id))
}

/** `draining` is called when no request of a client is taken any more. */
export function answerDrain(node: Node, draining: () => void): DrainResponse {
  const members = membersOf(node)
  members.drain()
  draining()
  return { nodeId: node.id, operations: members.operations }
}

export function answerStreamRate(node: Node, { bytesPerSecond }: StreamRateRequest): StreamRateResponse {
  const { handovers } = node
  if (handovers === undefined) throw new KvError('unavailable', 'this node does not serve')
  if (bytesPerSecond !== undefined) {
    if (bytesPerSecond < 1n || bytesPerSecond > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw invalidArgument('bytes_per_second', `must be at least 1, got ${bytesPerSecond}`)
    }
    handovers.streamBytesPerSecond = Number(bytesPerSecond)
  }
  return { nodeId: node.id, bytesPerSecond: BigInt(Math.round(handovers.streamBytesPerSecond)) }
}

function membersOf({ members }: Node): Members {
  if (members === undefined) throw new KvError('unavailable', 'this node does not belong to a cluster yet')
  return members
}

const wireBegins = { not: Begins.NOT, 'at-once': Begins.AT_ONCE, queued: Begins.QUEUED } as const

function toPlan(plan: PlanWithEstimate): WirePlan {
  const { movement, bytes, durationMs } = plan
  return {
    begins: wireBegins[plan.begins],
    slots: movement?.slots ?? 0,
    copies: movement?.copies ?? 0,
    moves: (movement?.moves ?? []).map(({ from, to, slots }) => ({ from: from ?? '', to: to ?? '', slots })),
    bytes: bytes === undefined ? undefined : BigInt(bytes),
    durationMs: durationMs === undefined ? undefined : BigInt(durationMs),
    calledOff: plan.calledOff.map(toPlanned),
    turnedAway: [...plan.turnedAway],
    spareNow: plan.spareNow,
    spareMeanwhile: plan.spareMeanwhile,
    spareAfterwards: plan.spareAfterwards,
  }
}
