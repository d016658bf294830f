/** What the process of honest callers is told: to begin, or to tell what has ended since it told last. */
export type HonestJob =
  | {
      readonly kind: 'open'
      readonly endpoints: readonly string[]
      readonly httpPort: number
      readonly token?: string | undefined
      /** The certificate of the authority, as PEM, where nodes speak TLS. */
      readonly ca?: string | undefined
      readonly perSecond: number
      /** A key to write with a value of 1 MiB, for attackers to ask for. */
      readonly bigKey: string
    }
  /** Waits until so many operations have been done, if it must. */
  | { readonly kind: 'mark'; readonly atLeast: number }

/** What has ended in a stretch of time. */
export interface TallyTold {
  readonly done: number
  /** By code. */
  readonly failed: Readonly<Record<string, number>>
  /** Undefined: nothing was done. */
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  readonly maxMs: number | undefined
}

export interface Told {
  /** Operations of a client that was there before. */
  readonly work: TallyTold
  /** First operations of clients that came meanwhile. */
  readonly newcomers: TallyTold
  /** Requests over HTTP, each on a connection of its own. */
  readonly pages: TallyTold
}

/** Counts what ends. */
export class Tally {
  readonly #timesMs: number[] = []
  readonly #failed: Record<string, number> = {}

  /** How many have been done so far. */
  get done(): number {
    return this.#timesMs.length
  }

  succeeded(ms: number): void {
    this.#timesMs.push(ms)
  }

  failed(code: string): void {
    this.#failed[code] = (this.#failed[code] ?? 0) + 1
  }

  get told(): TallyTold {
    const sorted = this.#timesMs.toSorted((a, b) => a - b)
    const at = (share: number): number | undefined => sorted[Math.floor(sorted.length * share)]
    return { done: sorted.length, failed: this.#failed, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: sorted.at(-1) }
  }
}
