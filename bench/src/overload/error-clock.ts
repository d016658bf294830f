import type { Target, TargetClient } from '@quorumkv/cli/bench'

/**
 * A store as another target has it, that tells how long its slowest failures took. The load generator measures what
 * succeeds; whether a failure is told in time is what matters about a store that has too much to do.
 */
export class ErrorClock implements Target {
  readonly name: string
  readonly reads: Target['reads']
  readonly failed?: AbortSignal
  readonly #target: Target
  #slowestMs = 0

  constructor(target: Target) {
    this.name = target.name
    this.reads = target.reads
    if (target.failed !== undefined) this.failed = target.failed
    this.#target = target
  }

  /** The longest that an operation took to fail, in ms, since the last call of this; 0: none failed. */
  takeSlowestMs(): number {
    const slowest = this.#slowestMs
    this.#slowestMs = 0
    return slowest
  }

  describe(signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    return this.#target.describe(signal)
  }

  async connect(signal: AbortSignal): Promise<TargetClient> {
    const client = await this.#target.connect(signal)
    return {
      read: (key) => this.#timed(client.read(key)),
      write: (key, value) => this.#timed(client.write(key, value)),
      close: () => client.close(),
    }
  }

  async serverUsage(): ReturnType<NonNullable<Target['serverUsage']>> {
    return (await this.#target.serverUsage?.()) ?? []
  }

  #timed<T>(operation: Promise<T>): Promise<T> {
    const started = performance.now()
    return operation.catch((error: unknown) => {
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - started)
      throw error
    })
  }
}
