import type { ClusterView } from '../../../src/feed/view.js'
import { combined, type Metric, metrics, type Sample, sampleOf } from './metrics.js'

/** Ten minutes of seconds. */
export const secondsKept = 600

/** Where the samples of the cluster as a whole are kept; no member has this id. */
export const wholeCluster = ''

const column = new Map(metrics.map((metric, i) => [metric, i]))

/** The last minutes of all figures, in the page only. A second that was missed, or in which a node told nothing, is a gap. */
export class History {
  readonly #times = new Float64Array(secondsKept).fill(Number.NaN)
  readonly #rows = new Map<string, Float32Array>()
  #next = 0
  #count = 0

  /** The moments that are kept, in Unix seconds, the oldest first. */
  times(): number[] {
    return this.#ordered(this.#times, 0)
  }

  /** What was measured at `times()`; null: unknown then. */
  values(id: string, metric: Metric): (number | null)[] {
    const row = this.#rows.get(id)
    if (row === undefined) return Array.from({ length: this.#count }, () => null)
    return this.#ordered(row, column.get(metric)! * secondsKept).map((value) => (Number.isNaN(value) ? null : value))
  }

  /** One of `values`; `place` as in `Array.at`. Undefined: unknown. */
  value(id: string, metric: Metric, place: number): number | undefined {
    const row = this.#rows.get(id)
    const i = place < 0 ? this.#count + place : place
    if (row === undefined || i < 0 || i >= this.#count) return undefined
    const start = this.#count < secondsKept ? 0 : this.#next
    const value = row[column.get(metric)! * secondsKept + ((start + i) % secondsKept)]!
    return Number.isNaN(value) ? undefined : value
  }

  /** The last second. */
  add(view: ClusterView): void {
    const at = this.#next
    this.#next = (at + 1) % secondsKept
    this.#count = Math.min(secondsKept, this.#count + 1)
    this.#times[at] = view.atMs / 1_000
    for (const row of this.#rows.values()) clear(row, at)
    const samples: Sample[] = []
    for (const [id, node] of Object.entries(view.nodes)) {
      if (!node.telling.ok || node.load === undefined) continue
      const sample = sampleOf(node)
      samples.push(sample)
      this.#write(id, at, sample)
    }
    if (samples.length > 0) this.#write(wholeCluster, at, combined(samples))
    for (const id of this.#rows.keys()) {
      if (id !== wholeCluster && view.nodes[id] === undefined) this.#rows.delete(id)
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#times.fill(Number.NaN)
    this.#rows.clear()
    this.#next = 0
    this.#count = 0
  }

  #write(id: string, at: number, sample: Sample): void {
    let row = this.#rows.get(id)
    if (row === undefined) {
      row = new Float32Array(metrics.length * secondsKept).fill(Number.NaN)
      this.#rows.set(id, row)
    }
    for (const [i, metric] of metrics.entries()) row[i * secondsKept + at] = sample[metric]
  }

  #ordered(from: Float64Array | Float32Array, base: number): number[] {
    const start = this.#count < secondsKept ? 0 : this.#next
    return Array.from({ length: this.#count }, (_, i) => from[base + ((start + i) % secondsKept)]!)
  }
}

function clear(row: Float32Array, at: number): void {
  for (let i = 0; i < metrics.length; i++) row[i * secondsKept + at] = Number.NaN
}
