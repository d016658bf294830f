/** Work in the background of a node: a stop waits for it, and no failure goes unseen. */
export class Background {
  readonly #running = new Set<Promise<void>>()
  readonly #failed: (error: unknown, isFirst: boolean) => void
  #hasFailed = false

  /** `failed` must not throw. */
  constructor(failed: (error: unknown, isFirst: boolean) => void) {
    this.#failed = failed
  }

  guard(work: Promise<void>): void {
    const guarded = work
      .catch((error: unknown) => {
        const isFirst = !this.#hasFailed
        this.#hasFailed = true
        this.#failed(error, isFirst)
      })
      .finally(() => this.#running.delete(guarded))
    this.#running.add(guarded)
  }

  /** Waits for everything that runs now. Never rejects. */
  async idle(): Promise<void> {
    await Promise.all(this.#running)
  }
}
