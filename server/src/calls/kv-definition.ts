import type { ServiceDefinition } from '@grpc/grpc-js'
import { GetResponse, KvService, ScanResponse } from '@quorumkv/proto/kv/v1/kv'
import { asBuffer } from './messages.js'

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
    responseSerialize: (message: GetResponse): Buffer => asBuffer(GetResponse.encode(message).finish()),
  },
  scan: {
    ...KvService.scan,
    responseSerialize: (message: ScanResponse): Buffer => asBuffer(ScanResponse.encode(message).finish()),
  },
  session: { ...KvService.session, requestDeserialize: identity, responseSerialize: identity },
}
