import type { KvServer } from '@quorumkv/proto/kv/v1/kv'
import { toDeleteResponse, toGetResponse, toPutResponse } from './messages.js'
import { serveScan } from './scan-call.js'
import type { ServiceContext } from './service-context.js'
import type { SessionService } from './session-service.js'
import { answerUnary } from './unary.js'
import { checkDelete, checkGet, checkPut } from './validation.js'

/** The service kv.v1.Kv over a node. */
export function kvService(context: ServiceContext, sessions: SessionService): KvServer {
  return {
    get: (call, callback) =>
      answerUnary(call, callback, context, 'read', async (request, { node, deadlineMs, cancellation }) => {
        const consistency = checkGet(request)
        return toGetResponse(await node.get(request.key, { consistency, deadlineMs, cancellation }))
      }),
    put: (call, callback) =>
      answerUnary(call, callback, context, 'write', async (request, { node, deadlineMs, cancellation }) => {
        const { consistency, ttlMs } = checkPut(request)
        const { key, value, returnPrevious } = request
        const options = { consistency, deadlineMs, cancellation, ttlMs, returnPrevious }
        return toPutResponse(await node.put(key, value, options))
      }),
    delete: (call, callback) =>
      answerUnary(call, callback, context, 'write', async (request, { node, deadlineMs, cancellation }) => {
        const consistency = checkDelete(request)
        return toDeleteResponse(await node.delete(request.key, { consistency, deadlineMs, cancellation }))
      }),
    scan: (call) => void serveScan(call, context),
    session: (call) => sessions.serve(call),
  }
}
