/** A moment that comes once, or never: many may wait for it, none has to. */
export class Readiness {
  #state: { kind: 'waiting' } | { kind: 'reached' } | { kind: 'failed'; error: unknown } = { kind: 'waiting' }
  #waiters: { resolve: () => void; reject: (error: unknown) => void }[] = []

  wait(): Promise<void> {
    const state = this.#state
    switch (state.kind) {
      case 'reached':
        return Promise.resolve()
      case 'failed':
        return Promise.reject(state.error)
      case 'waiting':
        return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
      default:
        return state satisfies never
    }
  }

  reach(): void {
    if (this.#state.kind !== 'waiting') return
    this.#state = { kind: 'reached' }
    for (const { resolve } of this.#waiters.splice(0)) resolve()
  }

  fail(error: unknown): void {
    if (this.#state.kind !== 'waiting') return
    this.#state = { kind: 'failed', error }
    for (const { reject } of this.#waiters.splice(0)) reject(error)
  }
}
