import type { ServiceDefinition } from '@grpc/grpc-js'
import { GetResponse, KvService, ScanResponse } from '@quorumkv/proto/kv/v1/kv'
import { asBuffer } from './messages.js'

/** From this size on a value is not copied once more than it must be. */
const largeBytes = 16_384
/** The field `value` of GetResponse, length-delimited. */
const valueTag = 0x12
const emptyValue = Buffer.alloc(0)

/**
 * The message with its value behind the other fields, whose order says nothing. The generated code copies a megabyte three times, and makes
 * buffers of five for it: garbage for which the collector stops everything again and again where many ask.
 */
function encodeGet(message: GetResponse): Buffer {
  const { value } = message
  if (value.length < largeBytes) return asBuffer(GetResponse.encode(message).finish())
  const rest = GetResponse.encode({ ...message, value: emptyValue }).finish()
  const head = [valueTag]
  let length = value.length
  for (; length >= 0x80; length >>>= 7) head.push((length & 0x7f) | 0x80)
  head.push(length)
  return Buffer.concat([rest, Buffer.from(head), value])
}

const identity = (bytes: Buffer): Buffer => bytes

/**
 * kv.v1.Kv as the server speaks it: the generated definition, except that replies with values go out in the bytes that
 * the encoder made, where the generated code copies them once more, and that a session reads and writes its messages
 * itself.
 */
export const kvDefinition: ServiceDefinition = {
  ...KvService,
  get: {
    ...KvService.get,
    responseSerialize: encodeGet,
  },
  scan: {
    ...KvService.scan,
    responseSerialize: (message: ScanResponse): Buffer => asBuffer(ScanResponse.encode(message).finish()),
  },
  session: { ...KvService.session, requestDeserialize: identity, responseSerialize: identity },
}
