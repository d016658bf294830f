import { KvError, type WriteOutcome } from './errors.js'

type Callback = () => void

interface Listeners {
  readonly callbacks: Set<Callback>
  readonly listener: () => void
}

const bySignal = new WeakMap<AbortSignal, Listeners>()

/**
 * Calls back once when the signal fires. All callbacks of a signal share one listener: Node warns of a leak from eleven
 * listeners on, and one signal for a thousand operations is no leak.
 */
export function onAbort(signal: AbortSignal, callback: Callback): void {
  let listeners = bySignal.get(signal)
  if (listeners === undefined) {
    const callbacks = new Set<Callback>()
    const listener = (): void => {
      bySignal.delete(signal)
      for (const call of callbacks) call()
    }
    listeners = { callbacks, listener }
    bySignal.set(signal, listeners)
    signal.addEventListener('abort', listener, { once: true })
  }
  listeners.callbacks.add(callback)
}

/** Takes a callback back; one that is not there is no error. */
export function offAbort(signal: AbortSignal, callback: Callback): void {
  const listeners = bySignal.get(signal)
  if (listeners === undefined) return
  listeners.callbacks.delete(callback)
  if (listeners.callbacks.size > 0) return
  signal.removeEventListener('abort', listeners.listener)
  bySignal.delete(signal)
}

/** The error of a call that its caller's signal ended. */
export function cancelledBy(signal: AbortSignal, outcome?: WriteOutcome | undefined): KvError {
  return new KvError('cancelled', 'the call was cancelled by its signal', { cause: signal.reason, outcome })
}
