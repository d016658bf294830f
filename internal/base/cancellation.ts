/**
 * Says that nobody waits for an operation any more. One object instead of an AbortController per operation: it has
 * one listener, the room that runs the operation.
 */
export class Cancellation {
  #cancelled = false
  #listener: (() => void) | undefined

  get cancelled(): boolean {
    return this.#cancelled
  }

  cancel(): void {
    if (this.#cancelled) return
    this.#cancelled = true
    this.#listener?.()
  }

  /** Calls `listener` once, when cancelled; replaces an earlier listener. Not called if it is cancelled already. */
  onCancel(listener: (() => void) | undefined): void {
    this.#listener = listener
  }
}
