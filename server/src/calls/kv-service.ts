import type { handleBidiStreamingCall, UntypedServiceImplementation } from '@grpc/grpc-js'
import type { KvServer } from '@quorumkv/proto/kv/v1/kv'
import type { SessionService } from '../session/session-service.js'
import { toDeleteResponse, toGetResponse, toPutResponse } from './messages.js'
import { serveScan } from './scan-call.js'
import type { ServiceContext } from './service-context.js'
import { answerUnary } from './unary.js'
import { checkKey, checkTtl, checkValue, parseConsistency } from './validation.js'

/** The methods of kv.v1.Kv as `kvDefinition` encodes them. */
export interface KvHandlers extends UntypedServiceImplementation {
  get: KvServer['get']
  put: KvServer['put']
  delete: KvServer['delete']
  scan: KvServer['scan']
  session: handleBidiStreamingCall<Buffer, Buffer>
}

/** The service kv.v1.Kv over a node. */
export function kvService(context: ServiceContext, sessions: SessionService): KvHandlers {
  return {
    get: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (request, { node, principal, ...scope }) => {
        checkKey(request.key)
        principal.checkKey(request.key)
        const consistency = parseConsistency(request.consistency)
        principal.rate?.admit(request.key.length)
        const record = await node.get(request.key, { consistency, ...scope })
        if (record !== undefined) principal.rate?.charge(record.value.length)
        return toGetResponse(record)
      }),
    put: (call, callback) =>
      answerUnary(call, callback, context, 'write', async (request, { node, principal, ...scope }) => {
        const { key, value, returnPrevious } = request
        checkKey(key)
        principal.checkKey(key)
        checkValue(value)
        const ttlMs = request.ttlMs === undefined ? undefined : Number(request.ttlMs)
        checkTtl(ttlMs)
        const consistency = parseConsistency(request.consistency)
        const options = { consistency, ...scope, ttlMs, returnPrevious }
        principal.rate?.admit(key.length + value.length)
        const result = await node.put(key, value, options)
        if (result.previous !== undefined) principal.rate?.charge(result.previous.value.length)
        return toPutResponse(result)
      }),
    delete: (call, callback) =>
      answerUnary(call, callback, context, 'write', async (request, { node, principal, ...scope }) => {
        checkKey(request.key)
        principal.checkKey(request.key)
        const consistency = parseConsistency(request.consistency)
        principal.rate?.admit(request.key.length)
        return toDeleteResponse(await node.delete(request.key, { consistency, ...scope }))
      }),
    scan: (call) => void serveScan(call, context),
    session: (call) => sessions.serve(call),
  }
}
