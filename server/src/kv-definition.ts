import { GetResponse, KvService, ScanResponse, SessionResponse } from '@quorumkv/proto/kv/v1/kv'
import { asBuffer } from './messages.js'

/**
 * kv.v1.Kv as the server speaks it: the generated definition, except that replies with values go out in the bytes that
 * the encoder made, where the generated code copies them once more.
 */
export const kvDefinition: typeof KvService = {
  ...KvService,
  get: { ...KvService.get, responseSerialize: (message) => asBuffer(GetResponse.encode(message).finish()) },
  scan: { ...KvService.scan, responseSerialize: (message) => asBuffer(ScanResponse.encode(message).finish()) },
  session: { ...KvService.session, responseSerialize: (message) => asBuffer(SessionResponse.encode(message).finish()) },
}
