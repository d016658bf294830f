import { Liveness, MemberState, TopologyResponse } from '@quorumkv/proto/kv/v1/cluster'
import {
  ErrorCode,
  GetRequest,
  PutRequest,
  ScanRequest,
  SessionRequest,
  SessionResponse,
  WriteOutcome,
} from '@quorumkv/proto/kv/v1/kv'

const bytes = (text: string): Buffer => Buffer.from(text)

/** What clients really send, in all its forms. Keys that they write begin with `case`. */
export function clientMessages(): Uint8Array[] {
  const operation = (id: number, request: SessionRequest['operations'][number]['request']) => ({
    ...{
      id,
      timeoutMs: 500,
      stampAboveMs: 0n,
      stampLimitMs: 0n,
      traceparent: id % 3 === 0 ? `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` : '',
    },
    request,
  })
  const get = { $case: 'get', value: { key: bytes('case 1'), consistency: 0 } } as const
  const put = (key: string, value: Buffer, ttlMs?: bigint) =>
    ({ $case: 'put', value: { key: bytes(key), value, ttlMs, consistency: 2, returnPrevious: true } }) as const
  const remove = { $case: 'delete', value: { key: bytes('case 2'), consistency: 1 } } as const
  const session = (...operations: SessionRequest['operations']): Uint8Array =>
    SessionRequest.encode({ observedHlc: 0n, operations, cancelled: [] }).finish()
  const stamped = { ...operation(8, put('case 8', bytes('v'))), stampAboveMs: 5n, stampLimitMs: 1n << 47n }
  return [
    session(operation(1, get)),
    session(operation(1, put('case 1', bytes('value')))),
    session(operation(2, remove)),
    session(operation(3, put('case 3', Buffer.alloc(0), 60_000n)), operation(4, get), operation(5, remove)),
    session(stamped, operation(9, undefined)),
    session(operation(10, put('case 10', Buffer.alloc(2_000, 'x')))),
    SessionRequest.encode({
      observedHlc: 12_345_678_901_234n,
      operations: [operation(6, get)],
      cancelled: [1, 2, 300],
    }).finish(),
    session(
      ...Array.from({ length: 40 }, (_, i) => operation(100 + i, i % 2 === 0 ? get : put(`case ${i}`, bytes(`${i}`)))),
    ),
    GetRequest.encode({ key: bytes('case 1'), consistency: 1 }).finish(),
    PutRequest.encode({ ...put('case 1', bytes('v'), 5n).value }).finish(),
    ScanRequest.encode({
      prefix: bytes('case'),
      pageSize: 10,
      cursor: Buffer.alloc(0),
      consistency: 0,
      keysOnly: false,
    }).finish(),
  ]
}

/** What nodes really answer in a session. */
export function nodeMessages(): Uint8Array[] {
  const version = { hlc: (1n << 60n) + 77n, node: 3 }
  const error = {
    code: ErrorCode.OVERLOADED,
    message: 'too much',
    field: 'key',
    writeOutcome: WriteOutcome.NOT_APPLIED,
  }
  const results: SessionResponse['results'] = [
    { id: 1, outcome: { $case: 'get', value: { found: true, value: bytes('value'), version, expiresAtMs: 5n } } },
    {
      id: 2,
      outcome: { $case: 'get', value: { found: false, value: Buffer.alloc(0), version: undefined, expiresAtMs: 0n } },
    },
    {
      id: 3,
      outcome: {
        $case: 'put',
        value: { version, acks: 2, hadPrevious: true, previousValue: bytes('old'), previousUnknown: false },
      },
    },
    { id: 4, outcome: { $case: 'delete', value: { version, acks: 3, existed: true, existedUnknown: true } } },
    { id: 5, outcome: { $case: 'error', value: error } },
  ]
  const whole = { hlc: (1n << 62n) + 5n, epoch: 9n, draining: true }
  return [
    SessionResponse.encode({ ...whole, results }).finish(),
    ...results.map((result) =>
      SessionResponse.encode({ hlc: 1n, epoch: 1n, draining: false, results: [result] }).finish(),
    ),
    SessionResponse.encode({ ...whole, results: [] }).finish(),
  ]
}

/** Topologies as clients are told them. */
export function topologyAnswers(): Uint8Array[] {
  const member = (id: string, number: number) => ({
    ...{
      id,
      number,
      address: `${id}:50051`,
      zone: '',
      weight: 1,
      incarnation: 'a'.repeat(32),
      levelMin: 1,
      levelMax: 1,
    },
    ...{ state: MemberState.SERVING, liveness: Liveness.ALIVE, livenessMs: 10n },
  })
  const base = {
    ...{ clusterId: 'c'.repeat(32), epoch: 3n, replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 } },
    members: [member('n1', 1), member('n2', 2), member('n3', 3)],
  }
  const table = (slots: number, perSlot: number): Buffer => {
    const owners = Buffer.alloc(slots * perSlot * 2)
    for (let i = 0; i < slots * perSlot; i++) owners.writeUInt16LE(i % 3, i * 2)
    return owners
  }
  const answer = (slots: number, otherPerSlot: number): Uint8Array =>
    TopologyResponse.encode({
      ...TopologyResponse.decode(new Uint8Array(0)),
      ...base,
      ...{ slots, ownersPerSlot: 3, owners: table(slots, 3) },
      ...{ otherOwnersPerSlot: otherPerSlot, otherOwners: table(slots, otherPerSlot) },
      planned: [{ kind: 'reweight', id: 'n1', weight: 2, by: '' }],
    }).finish()
  return [answer(4096, 0), answer(16, 3), answer(2, 2)]
}
