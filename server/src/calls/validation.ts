import { invalidArgument, limits } from '@quorumkv/internal/base'
import { hlcMsMax } from '@quorumkv/internal/hlc'
import type { Consistency } from '@quorumkv/internal/replication'
import type { ScanRequest } from '@quorumkv/proto/kv/v1/kv'

/*
 * Requests are checked here, once, before anything is done for them. Field names are those of the schema, because
 * that is what a caller in any language sees.
 */

const consistencies: readonly Consistency[] = ['quorum', 'one', 'quorum', 'all']

/** Throws `invalid-argument` for a number that the schema does not know. */
export function parseConsistency(value: number): Consistency {
  const consistency = consistencies[value]
  if (consistency === undefined) {
    throw invalidArgument('consistency', `must be 0 (default), 1 (ONE), 2 (QUORUM) or 3 (ALL), got ${value}`)
  }
  return consistency
}

/** Throws `invalid-argument`. */
export function checkKey(key: Uint8Array): void {
  if (key.length === 0 || key.length > limits.keyBytesMax) {
    throw invalidArgument('key', `must be 1 to ${limits.keyBytesMax} bytes, got ${key.length}`)
  }
}

/** Throws `invalid-argument`. */
export function checkValue(value: Uint8Array): void {
  if (value.length > limits.valueBytesMax) {
    throw invalidArgument('value', `must be at most ${limits.valueBytesMax} bytes, got ${value.length}`)
  }
}

/** Absent, or milliseconds. Throws `invalid-argument` naming `field`. */
export function checkTtl(ttlMs: number | undefined, field = 'ttl_ms'): void {
  if (ttlMs !== undefined && (ttlMs < 1 || ttlMs > limits.ttlMsMax)) {
    throw invalidArgument(field, `must be absent or 1 to ${limits.ttlMsMax}, got ${ttlMs}`)
  }
}

/** Absent, or milliseconds that a caller waits. Throws `invalid-argument` naming `field`. */
export function checkTimeout(timeoutMs: number | undefined, field: string): void {
  if (timeoutMs !== undefined && (timeoutMs < 1 || timeoutMs > limits.requestTimeoutMsMax)) {
    throw invalidArgument(field, `must be absent or 1 to ${limits.requestTimeoutMsMax}, got ${timeoutMs}`)
  }
}

/** Throws `invalid-argument`. */
export function checkPrefix(prefix: Uint8Array): void {
  if (prefix.length > limits.keyBytesMax) {
    throw invalidArgument('prefix', `must be at most ${limits.keyBytesMax} bytes, got ${prefix.length}`)
  }
}

/** The page size that was asked for, 0 being the default. Throws `invalid-argument` naming `field`. */
export function checkPageSize(pageSize: number, field = 'page_size'): number {
  if (pageSize > limits.scanPageEntriesMax) {
    throw invalidArgument(field, `must be at most ${limits.scanPageEntriesMax}, got ${pageSize}`)
  }
  return pageSize === 0 ? limits.scanPageEntriesDefault : pageSize
}

export interface CheckedScan {
  readonly consistency: Consistency
  readonly pageSize: number
}

/** Throws `invalid-argument`. */
export function checkScan(request: ScanRequest): CheckedScan {
  checkPrefix(request.prefix)
  return { consistency: parseConsistency(request.consistency), pageSize: checkPageSize(request.pageSize) }
}

/** A caller's time, bounded: nobody waits longer than the limit, and 0 is the default. */
export function clampTimeoutMs(timeoutMs: number): number {
  return timeoutMs === 0 ? limits.requestTimeoutMs : Math.min(timeoutMs, limits.requestTimeoutMsMax)
}

/** Unix milliseconds that a stamp can hold; 0: no bound. */
export function checkStampBound(field: string, ms: number): void {
  if (ms > hlcMsMax) throw invalidArgument(field, `must be below 2^48 milliseconds, got ${ms}`)
}
