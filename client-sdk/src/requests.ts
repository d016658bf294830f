import { keyBytes, valueBytes, wireConsistency } from './collection/codec.js'
import { invalidArgument } from './errors.js'
import { limits } from './limits.js'
import { type ClientConfig, checkConsistency, checkTimeout, checkWhole } from './options.js'
import { Operation } from './session/operation.js'
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

export function getOperation(key: Key, options: ReadOptions, config: ClientConfig): Operation {
  return new Operation('get', keyBytes(key), consistencyOf(options, config), callTimeoutMs(options, config))
}

export function deleteOperation(key: Key, options: DeleteOptions, config: ClientConfig): Operation {
  return new Operation('delete', keyBytes(key), consistencyOf(options, config), callTimeoutMs(options, config))
}

export function putOperation(key: Key, value: Value, options: PutOptions, config: ClientConfig): Operation {
  const { ttlMs } = options
  const operation = new Operation('put', keyBytes(key), consistencyOf(options, config), callTimeoutMs(options, config))
  operation.value = valueBytes(value)
  if (ttlMs !== undefined) operation.ttlMs = checkWhole(ttlMs, 'ttlMs', 1, limits.ttlMsMax)
  operation.returnPrevious = options.returnPrevious === true
  return operation
}
