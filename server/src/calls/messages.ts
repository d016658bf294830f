import { emptyBytes } from '@quorumkv/internal/base'
import { hlcToBigint, type Version } from '@quorumkv/internal/hlc'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { WriteResult } from '@quorumkv/internal/replication'
import type {
  DeleteResponse,
  Entry,
  GetResponse,
  PutResponse,
  ScanResponse,
  Version as WireVersion,
} from '@quorumkv/proto/kv/v1/kv'

/** A view of the same bytes; the generated types ask for Buffers. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const emptyBuffer = asBuffer(emptyBytes)

export function toWireVersion(version: Version): WireVersion {
  return { hlc: hlcToBigint(version), node: version.node }
}

const notFound: GetResponse = Object.freeze({ found: false, value: emptyBuffer, version: undefined, expiresAtMs: 0n })

export function toGetResponse(record: StoredRecord | undefined): GetResponse {
  if (record === undefined) return notFound
  return {
    found: true,
    value: asBuffer(record.value),
    version: toWireVersion(record),
    expiresAtMs: record.expiresAtMs === 0 ? 0n : BigInt(record.expiresAtMs),
  }
}

export function toPutResponse(result: WriteResult): PutResponse {
  return {
    version: toWireVersion(result.version),
    acks: result.acks,
    hadPrevious: result.existed,
    previousValue: result.previous === undefined ? emptyBuffer : asBuffer(result.previous.value),
    previousUnknown: !result.replacedKnown,
  }
}

export function toDeleteResponse(result: WriteResult): DeleteResponse {
  const { acks, existed, replacedKnown } = result
  return { version: toWireVersion(result.version), acks, existed, existedUnknown: !replacedKnown }
}

function toEntry(record: StoredRecord, keysOnly: boolean): Entry {
  return {
    key: asBuffer(record.key),
    value: keysOnly ? emptyBuffer : asBuffer(record.value),
    version: toWireVersion(record),
    expiresAtMs: BigInt(record.expiresAtMs),
  }
}

export function toScanResponse(records: readonly StoredRecord[], cursor: Uint8Array, keysOnly: boolean): ScanResponse {
  return { entries: records.map((record) => toEntry(record, keysOnly)), cursor: asBuffer(cursor) }
}
