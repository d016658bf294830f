import type { Log } from '@quorumkv/internal/env'

/** Of one reason it is told so often at most. */
const reportIntervalMs = 10_000

/**
 * Tells the log who was cut off: the first at once, and of those who follow for the same reason how many there were, so that a
 * flood fills no disk.
 */
export function cutLog(log: Log, protocol: string, message: string): (why: string) => void {
  const reasons = new Map<string, { reportedMs: number; untold: number }>()
  return (why) => {
    const reason = reasons.get(why) ?? { reportedMs: Number.NEGATIVE_INFINITY, untold: 0 }
    reasons.set(why, reason)
    const nowMs = performance.now()
    if (nowMs - reason.reportedMs < reportIntervalMs) {
      reason.untold++
      return
    }
    log.info(message, { protocol, why, ...(reason.untold === 0 ? {} : { before: reason.untold }) })
    reason.reportedMs = nowMs
    reason.untold = 0
  }
}
