import { crc32, murmur3_32 } from '@quorumkv/internal/hash'
import type { OwnerHolding } from '@quorumkv/internal/replication'
import type { Holding, LocateRequest, LocateResponse } from '@quorumkv/proto/kv/v1/cluster'
import { toWireVersion } from '../calls/messages.js'
import type { UnaryScope } from '../calls/unary.js'
import { checkKey } from '../calls/validation.js'

/** How much earlier than the caller's deadline silent owners are given up, so that the others' answers are told. */
const tellLeadMs = 50

function toHolding({ id, obstacle, record }: OwnerHolding): Holding {
  return {
    nodeId: id,
    answered: obstacle === '',
    obstacle,
    found: record !== undefined,
    tombstone: record?.tombstone ?? false,
    version: record === undefined ? undefined : toWireVersion(record),
    valueBytes: BigInt(record?.value.length ?? 0),
    expiresAtMs: BigInt(record?.expiresAtMs ?? 0),
    valueCrc: record === undefined ? 0 : crc32(record.value),
  }
}

/** What every owner of a key holds of it. Rejects with KvError `invalid-argument` and as `Node.locate`. */
export async function answerLocate(request: LocateRequest, scope: UnaryScope): Promise<LocateResponse> {
  const { key } = request
  checkKey(key)
  scope.principal.checkKey(key)
  const { node, cancellation } = scope
  const deadlineMs = scope.deadlineMs - tellLeadMs
  const { slot, epoch, holdings } = await node.locate(key, { consistency: 'all', deadlineMs, cancellation })
  return { hash: murmur3_32(key), slot, epoch: BigInt(epoch), holdings: holdings.map(toHolding) }
}
