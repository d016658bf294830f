/** A figure that was measured in several rounds. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Of at least one value. Of an even number of values, the median is the mean of the two in the middle. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('there is no spread of no values')
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, min: sorted[0]!, max: sorted.at(-1)! }
}

/**
 * How many times `over` the values of `of` are, round by round: the ratio of the medians, and the lowest and the highest
 * ratio of one round. What else the machine did in a round concerns both, so that one round's ratio is worth more than
 * that of figures from different rounds.
 */
export function ratioOf(of: readonly number[], over: readonly number[]): Spread {
  if (of.length !== over.length) throw new Error(`${of.length} rounds cannot be held against ${over.length}`)
  const ratios = spreadOf(of.map((value, round) => value / over[round]!))
  return { ...ratios, median: spreadOf(of).median / spreadOf(over).median }
}
