import { assert } from '../base/index.js'

/** Both ends belong to it. */
export interface SequenceRange {
  readonly first: number
  readonly last: number
}

/** Sequences of frames, kept as ranges: a log without damage takes one, however long it is. */
export class SequenceSet {
  readonly #ranges: { first: number; last: number }[] = []

  add(sequence: number): void {
    const range = this.#ranges.at(-1)
    if (range !== undefined && sequence === range.last + 1) range.last = sequence
    else this.#ranges.push({ first: sequence, last: sequence })
  }

  /** The highest; 0: empty. */
  get last(): number {
    let last = 0
    for (const range of this.#ranges) last = Math.max(last, range.last)
    return last
  }

  /** What is missing from `first` to `last`, in order. */
  gaps(first: number, last: number): SequenceRange[] {
    assert(first > 0, `sequences start at 1, not at ${first}`)
    const gaps: SequenceRange[] = []
    let next = first
    for (const range of [...this.#ranges].sort((a, b) => a.first - b.first)) {
      if (range.first > last) break
      if (range.first > next) gaps.push({ first: next, last: range.first - 1 })
      next = Math.max(next, range.last + 1)
    }
    if (next <= last) gaps.push({ first: next, last })
    return gaps
  }
}
