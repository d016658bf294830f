/** How long operations took, in milliseconds, by the second in which they ended. */
export class Latencies {
  readonly #seconds: number[][] = []
  readonly #startedMs = performance.now()

  /** One that began then (`performance.now()`) has just ended. */
  ended(startedMs: number): void {
    const endedMs = performance.now()
    const second = Math.floor((endedMs - this.#startedMs) / 1_000)
    for (let i = this.#seconds.length; i <= second; i++) this.#seconds.push([])
    this.#seconds[second]!.push(endedMs - startedMs)
  }

  /** Whole seconds that have been measured. */
  get seconds(): number {
    return Math.floor((performance.now() - this.#startedMs) / 1_000)
  }

  get count(): number {
    return this.#seconds.reduce((sum, each) => sum + each.length, 0)
  }

  /** The p99 of each second, the last one included that is not over yet; infinity where nothing ended. */
  p99s(): number[] {
    return this.#seconds.map((each) => percentile(each, 0.99) ?? Number.POSITIVE_INFINITY)
  }

  /** What ended in these whole seconds, `to` excluded: a second, and how long 99 % of it took at most. */
  span(from: number, to: number): { readonly perSecond: number; readonly p99Ms: number } {
    const all = this.#seconds.slice(from, to).flat()
    return { perSecond: all.length / Math.max(1, to - from), p99Ms: percentile(all, 0.99) ?? Number.POSITIVE_INFINITY }
  }
}

/** The value that so much of all, 0 to below 1, does not exceed; undefined: there are none. */
export function percentile(values: readonly number[], share: number): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)]
}

/** The upper one of two in the middle. Throws where there is none. */
export function median(values: readonly number[]): number {
  const middle = percentile(values, 0.5)
  if (middle === undefined) throw new Error('no values')
  return middle
}
