import { MessageDeframer } from '@quorumkv/proto/framing'
import { ErrorCode, WriteOutcome } from '@quorumkv/proto/kv/v1/kv'
import { Operation } from '../../client-sdk/src/session/operation.js'
import { ResponseReader } from '../../client-sdk/src/session/wire-reader.js'
import { RequestWriter } from '../../client-sdk/src/session/wire-writer.js'
import { cursorVersion, decodeCursor, encodeCursor } from '../../internal/replication/operations/scan.js'
import { ResultWriter } from '../../server/src/session/result-writer.js'
import { readSessionRequest } from '../../server/src/session/session-request.js'
import type { GoldenFormat } from './golden.js'

/** What a client sends, by the code of the SDK; without the header of gRPC's frame. */
function writeRequest(): Uint8Array {
  const get = new Operation('get', Buffer.from('a key'), 1, 1_000)
  const put = new Operation('put', Buffer.from('k'), 2, 1_000)
  Object.assign(put, { value: Buffer.from('a value'), ttlMs: 60_000, returnPrevious: true })
  Object.assign(put, { stampAboveMs: 1_700_000_000_000, stampLimitMs: 1_700_000_005_000 })
  const remove = new Operation('delete', Buffer.from('gone'), 3, 1_000)
  const writer = new RequestWriter()
  writer.begin({ hi: 0x0001_8bcf, lo: 0xe568_0007 }, [5, 300], get.bytes + put.bytes + remove.bytes)
  for (const [i, operation] of [get, put, remove].entries()) writer.operation(i + 1, 2_500, operation)
  const messages: Buffer[] = []
  new MessageDeframer(1_048_576, (message) => messages.push(message)).push(writer.end())
  return messages[0]!
}

/** What the node makes of it. */
function readRequest(bytes: Uint8Array): unknown {
  const { observedHi, observedLo, cancelled, operations } = readSessionRequest(Buffer.from(bytes))
  return {
    observedHi,
    observedLo,
    cancelled,
    operations: operations.map((operation) => {
      const { id, timeoutMs, kind, key, value, consistencyNumber, ttlMs, returnPrevious } = operation
      const { stampAboveMs, stampLimitMs } = operation
      return {
        id,
        timeoutMs,
        kind,
        key,
        value,
        consistency: consistencyNumber,
        ttlMs,
        returnPrevious,
        stampAboveMs,
        stampLimitMs,
      }
    }),
  }
}

/** What a node answers. */
function writeResponse(): Uint8Array {
  const version = { hi: 0x0001_8bcf, lo: 0xe568_0007, node: 3 }
  const key = Buffer.from('k')
  const live = { ...version, key, tombstone: false, expiresAtMs: 1_800_000_000_000, value: Buffer.from('v') }
  const results = new ResultWriter()
  results.get(1, live)
  results.get(2, undefined)
  results.put(3, { version, acks: 2, existed: true, replacedKnown: true, previous: live })
  results.put(4, { version, acks: 3, existed: false, replacedKnown: false, previous: undefined })
  results.delete(5, { version, acks: 2, existed: true, replacedKnown: true, previous: undefined })
  const { UNAVAILABLE } = ErrorCode
  results.error(6, { code: UNAVAILABLE, message: 'no', field: 'key', writeOutcome: WriteOutcome.UNKNOWN })
  return results.take({ hi: 0x0001_8bcf, lo: 0xe568_0010 }, 17, true)
}

/** What the SDK makes of it. */
function readResponse(bytes: Uint8Array): unknown {
  const results: unknown[] = []
  const reader = new ResponseReader(({ bytes: message, start, end, ...reply }) => {
    results.push({ ...reply, value: Uint8Array.from(message.subarray(start, end)) })
  })
  reader.read(Buffer.from(bytes))
  const { hlcHi, hlcLo, epoch, draining } = reader
  return { hlcHi, hlcLo, epoch, draining, results }
}

/** Sessions of clients, written and read by hand at both ends. */
export const sessionMessages: GoldenFormat = {
  name: 'session-messages',
  version: 1,
  oldest: 1,
  grows: true,
  samples: {
    request: { write: writeRequest, read: readRequest },
    response: { write: writeResponse, read: readResponse },
  },
}

const prefix = new TextEncoder().encode('user/')

/** Where a scan goes on: opaque to clients, and kept by them over an upgrade. */
export const cursors: GoldenFormat = {
  name: 'cursor',
  version: cursorVersion,
  oldest: 2,
  samples: {
    within: {
      write: () => encodeCursor({ slot: 4_095, after: new TextEncoder().encode('user/7') }, prefix),
      read: (bytes) => decodeCursor(bytes, prefix),
      again: (meaning) => encodeCursor(meaning, prefix),
    },
    'of-a-slot': {
      write: () => encodeCursor({ slot: 1, after: new Uint8Array(0) }, prefix),
      read: (bytes) => decodeCursor(bytes, prefix),
      again: (meaning) => encodeCursor(meaning, prefix),
    },
  },
}
