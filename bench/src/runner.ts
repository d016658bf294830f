import { build, type Histogram } from 'hdr-histogram-js'
import { limits } from './limits.js'
import type { Kind, Operation, Source } from './workload.js'

/** What the operations are done to. Resolves when one is done and its result is right; rejects otherwise. */
export type Target = (operation: Operation) => Promise<void>

/** Errors, counted by their code, with a few of them word for word. */
export class ErrorTally {
  readonly byCode: Map<string, number> = new Map()
  readonly examples: string[] = []
  #count = 0

  get count(): number {
    return this.#count
  }

  /** So many that going on would measure nothing. */
  get isFull(): boolean {
    return this.#count >= limits.errorsMax
  }

  add(error: unknown): void {
    const code = codeOf(error)
    this.#count++
    this.byCode.set(code, (this.byCode.get(code) ?? 0) + 1)
    if (this.examples.length < limits.errorExamplesMax) {
      this.examples.push(`${code}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

/** Latencies in microseconds, of the operations that succeeded. */
export type Latencies = Readonly<Record<Kind, Histogram>>

export interface RunOptions {
  /** Operations at a time; each that ends makes room for the next. */
  readonly inFlight: number
  /** No operation starts after this long, in milliseconds. */
  readonly durationMs: number
  /** Ends the run early, after what is in flight has ended. */
  readonly signal: AbortSignal
  /** Where errors are counted. At `limits.errorsMax` the run ends early. */
  readonly errors: ErrorTally
  /** Milliseconds that only grow. */
  readonly now?: () => number
}

export interface RunResult {
  /** From the start of the first operation to the end of the last one: a stall at the end counts. */
  readonly seconds: number
  readonly latencies: Latencies
}

function newHistogram(): Histogram {
  return build({ numberOfSignificantValueDigits: 3 })
}

/**
 * Does operations in a closed loop: an operation starts when another one ends, so that a cluster that stalls is asked
 * less. The latencies are those of the operations that were sent, and tell less than an open loop would about those
 * that users would have sent meanwhile ("coordinated omission").
 */
export async function run(source: Source, target: Target, options: RunOptions): Promise<RunResult> {
  const { inFlight, durationMs, signal, errors, now = () => performance.now() } = options
  const latencies: Latencies = { get: newHistogram(), put: newHistogram() }
  const start = now()
  const deadline = start + durationMs
  let end = start
  const lane = async (): Promise<void> => {
    for (let begun = now(); begun < deadline && !signal.aborted && !errors.isFull; begun = now()) {
      const operation = source()
      if (operation === undefined) return
      try {
        await target(operation)
        end = now()
        latencies[operation.kind].recordValue(Math.round((end - begun) * 1000))
      } catch (error) {
        end = now()
        errors.add(error)
      }
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  return { seconds: (end - start) / 1000, latencies }
}
