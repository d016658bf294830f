import { KvError } from '@quorumkv/client'
import type { Timing } from '../io.js'
import { limits } from '../limits.js'

/**
 * Repeats what may be repeated until it succeeds, ever more slowly, for `limits.backupGiveUpAfterMs`: a node that restarts
 * costs a backup time and nothing else. Rejects with the last KvError, at once where `signal` is aborted. `waits` is told once
 * why it takes so long, when it has for `limits.backupSilentMs`.
 */
export async function repeated<T>(
  timing: Timing,
  signal: AbortSignal,
  waits: (why: string) => void,
  attempt: () => Promise<T>,
): Promise<T> {
  const sinceMs = timing.monotonic()
  let told = false
  for (let failures = 0; ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      const over = timing.monotonic() - sinceMs >= limits.backupGiveUpAfterMs
      if (!(error instanceof KvError) || !error.retryable || over || signal.aborted) throw error
      if (!told && timing.monotonic() - sinceMs >= limits.backupSilentMs) {
        told = true
        waits(`${error.message}; trying again`)
      }
      const pauseMs = Math.min(limits.retryPauseMsMax, limits.retryPauseMs * 2 ** Math.min(failures, 10))
      await timing.sleep(pauseMs * (0.5 + timing.random() / 2), signal)
    }
  }
}
