/** Time as the load generator sees it. Tests give one that moves when they say so. */
export interface LoadClock {
  /** Milliseconds with fractions, that only grow. */
  now(): number
  /**
   * Resolves after about `ms`, or at once when `signal` is aborted. Late by no more than a turn of the event loop: the
   * last two milliseconds are watched rather than slept, because a timer's own lateness would be measured as the store's.
   */
  pause(ms: number, signal: AbortSignal): Promise<void>
  /** Resolves in the next turn of the event loop, when what had come in for this process has been looked at. */
  turn(): Promise<void>
  /** Calls `task` every `ms`, without keeping the process alive, until the returned function is called. */
  every(ms: number, task: () => void): () => void
}

/** A timer of Node.js comes up to a millisecond late, and later under load. */
const watchedMs = 2

export const systemClock: LoadClock = {
  now: () => performance.now(),
  pause: (ms, signal) =>
    new Promise((resolve) => {
      if (ms < watchedMs) {
        setImmediate(resolve)
        return
      }
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, ms - watchedMs)
      signal.addEventListener('abort', done)
      if (signal.aborted) done()
    }),
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  every: (ms, task) => {
    const timer = setInterval(task, ms)
    timer.unref()
    return () => clearInterval(timer)
  },
}
