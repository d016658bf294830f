import { limits } from '@quorumkv/internal/base'
import { SessionOperation } from './session-operation.js'
import { tagOf, WireError, WireReader, wireType } from './wire-reader.js'

/** What a client has sent at one time. */
export interface SessionBatch {
  /** The client's clock; 0 and 0 if it said none. */
  readonly observedHi: number
  readonly observedLo: number
  readonly operations: readonly SessionOperation[]
  /** Ids whose results nobody waits for. */
  readonly cancelled: readonly number[]
}

const { varint, fixed64, delimited } = wireType

const requestTags = {
  observedHlc: tagOf(1, fixed64),
  operation: tagOf(2, delimited),
  cancelled: tagOf(3, varint),
  cancelledPacked: tagOf(3, delimited),
}
const operationTags = {
  id: tagOf(1, varint),
  timeoutMs: tagOf(2, varint),
  get: tagOf(3, delimited),
  put: tagOf(4, delimited),
  delete: tagOf(5, delimited),
  stampAboveMs: tagOf(6, varint),
  stampLimitMs: tagOf(7, varint),
  traceparent: tagOf(8, delimited),
}
/** Fields 1 and 2 are shared by all three: the key, and the consistency except in a put. */
const keyTag = tagOf(1, delimited)
const consistencyTag = tagOf(2, varint)
const putTags = {
  value: tagOf(2, delimited),
  ttlMs: tagOf(3, varint),
  consistency: tagOf(4, varint),
  returnPrevious: tagOf(5, varint),
}

/**
 * Reads one kv.v1.SessionRequest. Throws WireError.
 *
 * The bytes of keys and values are copies: the message may lie in a buffer of 64 KiB of the connection's, which one
 * operation that takes long would keep. A small message (`limits.sessionCopyBytesMax`) is copied as a whole, and they are
 * views of that copy: it is no larger than what Node takes small buffers from, which each of them would keep anyway.
 *
 * By hand, because the generated code makes three objects for each operation and a bigint for each number of 64 bits.
 * With this, result-writer.ts and OperationTable a session costs 0.47 µs of processor time for each operation at 256 in
 * flight, where it cost 1.3. The test holds it against the generated code.
 */
export function readSessionRequest(message: Buffer): SessionBatch {
  const small = message.length <= limits.sessionCopyBytesMax
  const reader = new WireReader(small ? Buffer.from(message) : message)
  reader.lasting = small
  const end = message.length
  const operations: SessionOperation[] = []
  const cancelled: number[] = []
  let observedHi = 0
  let observedLo = 0
  while (reader.at < end) {
    const tag = reader.varint(end)
    switch (tag) {
      case requestTags.observedHlc:
        observedLo = reader.fixed64(end)
        observedHi = reader.hi
        break
      case requestTags.operation:
        operations.push(readOperation(reader, reader.delimited(end)))
        break
      case requestTags.cancelled:
        cancelled.push(reader.varint(end))
        break
      case requestTags.cancelledPacked:
        for (const last = reader.delimited(end); reader.at < last; ) cancelled.push(reader.varint(last))
        break
      default:
        skipUnknown(reader, tag, end)
    }
    // Before the objects of a message of millions of empty operations take more memory than its bytes did.
    if (operations.length > limits.sessionOpsMax || cancelled.length > limits.sessionOpsMax) {
      throw new WireError(`more than ${limits.sessionOpsMax} operations in one message`)
    }
  }
  return { observedHi, observedLo, operations, cancelled }
}

function readOperation(reader: WireReader, end: number): SessionOperation {
  const operation = new SessionOperation()
  while (reader.at < end) {
    const tag = reader.varint(end)
    switch (tag) {
      case operationTags.id:
        operation.id = reader.varint(end)
        break
      case operationTags.timeoutMs:
        operation.timeoutMs = reader.varint(end)
        break
      case operationTags.get:
        beginRequest(operation, 'get')
        readKeyRequest(reader, reader.delimited(end), operation)
        break
      case operationTags.put:
        beginRequest(operation, 'put')
        readPut(reader, reader.delimited(end), operation)
        break
      case operationTags.delete:
        beginRequest(operation, 'delete')
        readKeyRequest(reader, reader.delimited(end), operation)
        break
      case operationTags.stampAboveMs:
        operation.stampAboveMs = reader.varint64(end)
        break
      case operationTags.stampLimitMs:
        operation.stampLimitMs = reader.varint64(end)
        break
      case operationTags.traceparent:
        operation.traceparent = readTraceparent(reader, end)
        break
      default:
        skipUnknown(reader, tag, end)
    }
  }
  return operation
}

/** Of several requests in one operation the last one counts, and nothing of those before it. */
function beginRequest(operation: SessionOperation, kind: 'get' | 'put' | 'delete'): void {
  operation.kind = kind
  operation.key = noBytes
  operation.value = noBytes
  operation.consistencyNumber = 0
  operation.ttlMs = undefined
  operation.returnPrevious = false
}

function readKeyRequest(reader: WireReader, end: number, operation: SessionOperation): void {
  while (reader.at < end) {
    const tag = reader.varint(end)
    switch (tag) {
      case keyTag:
        operation.key = readBytes(reader, end)
        break
      case consistencyTag:
        operation.consistencyNumber = reader.varint(end) | 0
        break
      default:
        skipUnknown(reader, tag, end)
    }
  }
}

function readPut(reader: WireReader, end: number, operation: SessionOperation): void {
  while (reader.at < end) {
    const tag = reader.varint(end)
    switch (tag) {
      case keyTag:
        operation.key = readBytes(reader, end)
        break
      case putTags.value:
        operation.value = readBytes(reader, end)
        break
      case putTags.ttlMs:
        operation.ttlMs = reader.varint64(end)
        break
      case putTags.consistency:
        operation.consistencyNumber = reader.varint(end) | 0
        break
      case putTags.returnPrevious:
        operation.returnPrevious = reader.varint64(end) !== 0
        break
      default:
        skipUnknown(reader, tag, end)
    }
  }
}

const noBytes = Buffer.alloc(0)
const traceparentBytes = 55

function readBytes(reader: WireReader, end: number): Buffer {
  const last = reader.delimited(end)
  const part = reader.bytes.subarray(reader.at, last)
  const bytes = reader.lasting ? part : Buffer.from(part)
  reader.at = last
  return bytes
}

/** Empty where it cannot be one. */
function readTraceparent(reader: WireReader, end: number): string {
  const last = reader.delimited(end)
  const text = last - reader.at === traceparentBytes ? reader.bytes.toString('latin1', reader.at, last) : ''
  reader.at = last
  return text
}

function skipUnknown(reader: WireReader, tag: number, end: number): void {
  if (tag >>> 3 === 0) throw new WireError(`a field without a number at byte ${reader.at}`)
  reader.skip(tag, end)
}
