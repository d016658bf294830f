import { type Spread, spreadOf } from '@quorumkv/cli/bench'

export { type Spread, spreadOf } from '@quorumkv/cli/bench'

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
