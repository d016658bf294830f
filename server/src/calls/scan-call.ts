import type { ServerWritableStream } from '@grpc/grpc-js'
import { type Cancellation, KvError, limits } from '@quorumkv/internal/base'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { ScanRequest, ScanResponse } from '@quorumkv/proto/kv/v1/kv'
import { principalOf } from '../access/guarded-server.js'
import { toStatus } from './errors.js'
import { toScanResponse } from './messages.js'
import { requestNameIn } from './request-name.js'
import { reportBug, requireNode, type ServiceContext } from './service-context.js'
import { cancellationOf, giveUpAfterMs, timeLeftMs } from './unary.js'
import { checkScan } from './validation.js'

type ScanCall = ServerWritableStream<ScanRequest, ScanResponse>

/**
 * Resolves when the connection has taken the message, or the call is gone. Waiting for each page, and not for `drain`,
 * keeps at most one page per call in memory: a stream of objects would take sixteen before it says anything.
 */
function send(call: ScanCall, response: ScanResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.removeListener('close', done)
      resolve()
    }
    call.once('close', done)
    call.write(response, done)
  })
}

/** What they have of keys and values. */
export function bytesOf(records: readonly StoredRecord[]): number {
  return records.reduce((bytes, { key, value }) => bytes + key.length + value.length, 0)
}

async function sendPages(call: ScanCall, context: ServiceContext, cancellation: Cancellation): Promise<void> {
  const { request } = call
  const { consistency, pageSize } = checkScan(request)
  const principal = principalOf(call, context.access)
  principal.checkPrefix(request.prefix)
  const node = requireNode(context)
  const named = requestNameIn(call.metadata)
  let cursor: Uint8Array = request.cursor
  while (!cancellation.cancelled) {
    context.access.refresh()
    principal.checkValid()
    principal.rate?.admit(0)
    // A scan may take as long as its caller allows; a page may not.
    const timeoutMs = giveUpAfterMs(Math.min(timeLeftMs(call, context.clock), limits.requestTimeoutMs))
    const deadlineMs = context.clock.monotonicMs() + timeoutMs
    const wanted = { prefix: request.prefix, pageSize, cursor, consistency }
    const page = await node.scan({ ...wanted, deadlineMs, cancellation, request: named })
    if (cancellation.cancelled) return
    principal.rate?.charge(bytesOf(page.records))
    await send(call, toScanResponse(page.records, page.cursor, request.keysOnly))
    cursor = page.cursor
    if (cursor.length === 0) break
  }
  if (!cancellation.cancelled) call.end()
}

/** Serves one Scan: page after page, as fast as the client reads. */
export async function serveScan(call: ScanCall, context: ServiceContext): Promise<void> {
  if (context.scans.running >= limits.scansMax) {
    call.emit('error', toStatus(new KvError('overloaded', `the node serves ${limits.scansMax} scans already`), 'read'))
    return
  }
  context.scans.running++
  try {
    await sendPages(call, context, cancellationOf(call))
  } catch (error) {
    reportBug(context, error)
    call.emit('error', toStatus(error, 'read'))
  } finally {
    context.scans.running--
  }
}
