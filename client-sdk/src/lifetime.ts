import type { KvError } from './errors.js'
import { cancelledBy, offAbort, onAbort } from './signals.js'

/** The life of a client: what is to be told when it is closed. */
export class Lifetime {
  private readonly listeners = new Set<(error: KvError) => void>()
  private end: KvError | undefined

  /** Undefined while the client is open. */
  get error(): KvError | undefined {
    return this.end
  }

  /** Throws `closed` once the client is closed. */
  check(): void {
    if (this.end !== undefined) throw this.end
  }

  close(error: KvError): void {
    if (this.end !== undefined) return
    this.end = error
    for (const listener of this.listeners) listener(error)
    this.listeners.clear()
  }

  /**
   * The outcome of `promise`, unless the time runs out (`onTimeout` makes the error), the signal fires or the client is
   * closed first. What `promise` comes to afterwards is nobody's concern any more.
   */
  within<T>(
    promise: Promise<T>,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    onTimeout: () => KvError,
  ): Promise<T> {
    return this.settled<T>(timeoutMs, signal, (resolve, reject) => {
      promise.then(resolve, reject)
      return () => reject(onTimeout())
    })
  }

  /** A pause; rejects at once where the client is closed or the signal fires. */
  pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return this.settled<void>(ms, signal, (resolve) => resolve)
  }

  /** `begin` starts the work and returns what to do when the time is over. */
  private settled<T>(
    timeoutMs: number,
    signal: AbortSignal | undefined,
    begin: (resolve: (value: T) => void, reject: (error: unknown) => void) => () => void,
  ): Promise<T> {
    let cleanUp = (): void => undefined
    const promise = new Promise<T>((resolve, reject) => {
      const onTimeout = begin(resolve, reject)
      const abort = (): void => reject(cancelledBy(signal!))
      const timer = setTimeout(onTimeout, Math.max(0, timeoutMs))
      cleanUp = () => {
        clearTimeout(timer)
        this.listeners.delete(reject)
        if (signal !== undefined) offAbort(signal, abort)
      }
      if (this.end !== undefined) reject(this.end)
      else if (signal?.aborted) abort()
      this.listeners.add(reject)
      if (signal !== undefined) onAbort(signal, abort)
    })
    return promise.finally(() => cleanUp())
  }
}
