import { keyBytes, valueBytes, wireConsistency } from './codec.js'
import { invalidArgument } from './errors.js'
import { limits } from './limits.js'
import type { Request } from './operation.js'
import { type ClientConfig, checkConsistency, checkTimeout, checkWhole } from './options.js'
import type { CallOptions, DeleteOptions, Key, PutOptions, ReadOptions, Value } from './types.js'

/** What a call may take, as its options or the client's say. Throws `invalid-argument`. */
export function callTimeoutMs(options: CallOptions, config: ClientConfig): number {
  checkSignal(options.signal)
  return options.timeoutMs === undefined ? config.timeoutMs : checkTimeout(options.timeoutMs)
}

function checkSignal(signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw invalidArgument('signal', 'must be an AbortSignal')
}

function consistencyOf(options: ReadOptions, config: ClientConfig): ReturnType<typeof wireConsistency> {
  const { consistency } = options
  return wireConsistency(consistency === undefined ? config.consistency : checkConsistency(consistency))
}

export function getRequest(key: Key, options: ReadOptions, config: ClientConfig): Request {
  return { $case: 'get', value: { key: keyBytes(key), consistency: consistencyOf(options, config) } }
}

export function putRequest(key: Key, value: Value, options: PutOptions, config: ClientConfig): Request {
  const { ttlMs } = options
  return {
    $case: 'put',
    value: {
      key: keyBytes(key),
      value: valueBytes(value),
      ttlMs: ttlMs === undefined ? undefined : BigInt(checkWhole(ttlMs, 'ttlMs', 1, limits.ttlMsMax)),
      consistency: consistencyOf(options, config),
      returnPrevious: options.returnPrevious === true,
    },
  }
}

export function deleteRequest(key: Key, options: DeleteOptions, config: ClientConfig): Request {
  return { $case: 'delete', value: { key: keyBytes(key), consistency: consistencyOf(options, config) } }
}
