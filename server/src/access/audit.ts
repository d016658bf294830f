import { limits } from '@quorumkv/internal/base'
import type { Log } from '@quorumkv/internal/env'

/** Something that had to be allowed. */
export interface AuditEvent {
  /** A method, a route, or what was done without one: `auth-file` … */
  readonly action: string
  /** The name of the principal; empty: nobody that is known. */
  readonly who: string
  /** From where, as the transport names it; empty: from inside. */
  readonly from: string
  /** `ok`, or the code of the error that it ended with. */
  readonly outcome: string
  /** Whom or what it was about. Never a token, a key or a value. */
  readonly subject?: string
  /** Why it was refused, or did not succeed. */
  readonly reason?: string
}

/** Where events of administration and of who may call are told. */
export type Audit = (event: AuditEvent) => void

const refusalsPerSecondMax = 20

const isRefusal = (outcome: string): boolean => outcome === 'unauthenticated' || outcome === 'permission-denied'

/** Not of what a node does by itself: that comes from nowhere. */
const isStranger = ({ who, from }: AuditEvent): boolean => who === '' && from !== ''

/**
 * Tells events to a log, in lines that say `log: audit`: what was done as information, what was refused or failed as a warning.
 * Refusals, and whatever is brought about by callers whom nobody knows, are told up to 20 times a second, those of strangers by
 * themselves, and then counted, so that neither can fill a disk or hide the other; all else is told whatever its number.
 */
export function openAudit(log: Log, nowMs: () => number): Audit {
  let second = 0
  let left = 0
  let told = { known: 0, unknown: 0 }
  const isOneTooMany = (event: AuditEvent): boolean => {
    const now = Math.floor(nowMs() / 1000)
    if (now !== second) {
      if (left > 0) log.warn('refusals were not told one by one', { log: 'audit', refusals: left })
      second = now
      told = { known: 0, unknown: 0 }
      left = 0
    }
    if (!isRefusal(event.outcome) && !isStranger(event)) return false
    const isOver = ++told[event.who === '' ? 'unknown' : 'known'] > refusalsPerSecondMax
    if (isOver) left++
    return isOver
  }
  return (event) => {
    if (isOneTooMany(event)) return
    const facts = { log: 'audit', ...event }
    if (event.outcome === 'ok') log.info('allowed', facts)
    else log.warn(isRefusal(event.outcome) ? 'refused' : 'failed', facts)
  }
}

/** Knows of calls that come by the hundreds which is the first: each run of them is one event. Times are monotonic. */
export class AuditRuns {
  /** When each went on last, in that order; those that are over are forgotten. */
  readonly #lastMs = new Map<string, number>()

  isFirst(what: string, nowMs: number): boolean {
    for (const [each, lastMs] of this.#lastMs) {
      if (nowMs - lastMs < limits.auditRunMs) break
      this.#lastMs.delete(each)
    }
    // Set anew it is the last one.
    const isKnown = this.#lastMs.delete(what)
    this.#lastMs.set(what, nowMs)
    return !isKnown
  }
}
