import type { HandoverReport as ReportMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { invalidArgument, parseEpoch, parseIncarnation, parseNodeId } from '../../base/index.js'
import type { HandoverReport } from './handover-judgement.js'

const unknown = -1

export function reportToMessage(report: HandoverReport): ReportMessage {
  const { id, incarnation, since, slots, done, bytes, remainingBytes, remainingMs, switched, obstacle } = report
  return {
    nodeId: id,
    incarnation,
    since: BigInt(since),
    slots,
    done,
    bytes,
    remainingBytes: remainingBytes ?? unknown,
    remainingMs: remainingMs ?? unknown,
    switched,
    obstacle,
  }
}

/** Throws KvError `invalid-argument` that names what is wrong. */
export function reportFromMessage(message: ReportMessage): HandoverReport {
  const { slots, done, bytes, remainingBytes, remainingMs, switched, obstacle } = message
  if (done > slots) throw invalidArgument('handoverReport.done', `${done} of ${slots} slots`)
  for (const [name, value] of Object.entries({ bytes, remainingBytes, remainingMs })) {
    const known = Number.isFinite(value) && value >= 0
    if (!known && (value !== unknown || name === 'bytes'))
      throw invalidArgument(`handoverReport.${name}`, `${value} is none`)
  }
  return {
    id: parseNodeId(message.nodeId, 'handoverReport.nodeId'),
    incarnation: parseIncarnation(message.incarnation, 'handoverReport.incarnation'),
    since: parseEpoch(message.since, 'handoverReport.since'),
    slots,
    done,
    bytes,
    remainingBytes: remainingBytes === unknown ? undefined : remainingBytes,
    remainingMs: remainingMs === unknown ? undefined : remainingMs,
    switched,
    obstacle,
  }
}
