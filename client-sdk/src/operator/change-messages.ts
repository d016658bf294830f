import {
  type ChangeResponse,
  ChangePlan_Begins as WireBegins,
  type PlannedChange as WireChange,
  type Handover as WireHandover,
  HandoverStep as WireStep,
} from '@quorumkv/proto/kv/v1/cluster'
import type { ChangePlan, HandoverStatus, PlannedChange } from './changes.js'

const kinds: ReadonlySet<string> = new Set(['decommission', 'remove', 'reweight', 'replace'])

/** A newer node may send what this client does not know yet. */
export function changeOf({ kind, id, weight, by }: WireChange): PlannedChange {
  return {
    kind: kinds.has(kind) ? (kind as PlannedChange['kind']) : 'unknown',
    id,
    weight: kind === 'reweight' ? weight : undefined,
    by: kind === 'replace' ? by : undefined,
  }
}

export function handoverOf(handover: WireHandover | undefined): HandoverStatus | undefined {
  if (handover === undefined) return undefined
  const { since, step, changes, joining, reports, waitsFor } = handover
  const steps = { [WireStep.UNSPECIFIED]: 'unknown', [WireStep.BOTH]: 'both', [WireStep.SWITCH]: 'switch' } as const
  return {
    since: Number(since),
    step: steps[step as keyof typeof steps] ?? 'unknown',
    changes: changes.map(changeOf),
    joining,
    reports: reports.map(({ nodeId, slots, done, bytes, remainingBytes, remainingMs, obstacle }) => ({
      nodeId,
      slots,
      done,
      bytes: Number(bytes),
      remainingBytes: optional(remainingBytes),
      remainingMs: optional(remainingMs),
      obstacle,
    })),
    waitsFor,
  }
}

export function planOf({ plan, epoch }: ChangeResponse): ChangePlan {
  return {
    epoch: Number(epoch),
    begins: plan?.begins === WireBegins.AT_ONCE ? 'at-once' : plan?.begins === WireBegins.QUEUED ? 'queued' : 'not',
    slots: plan?.slots ?? 0,
    copies: plan?.copies ?? 0,
    moves: (plan?.moves ?? []).map(({ from, to, slots }) => ({ from: from || undefined, to: to || undefined, slots })),
    bytes: optional(plan?.bytes),
    durationMs: optional(plan?.durationMs),
    calledOff: (plan?.calledOff ?? []).map(changeOf),
    turnedAway: plan?.turnedAway ?? [],
    spareNow: plan?.spareNow ?? 0,
    spareMeanwhile: plan?.spareMeanwhile ?? 0,
    spareAfterwards: plan?.spareAfterwards ?? 0,
  }
}

function optional(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value)
}
