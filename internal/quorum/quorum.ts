import { assert } from '../base/index.js'

/** Voters are the bits of one number. */
export const votersMax = 32

/** So many of a group of voters. A voter is a bit of one number, and a group is a mask of such bits. */
export interface Quorum {
  readonly group: number
  readonly needed: number
}

/**
 * What must be met all at once. Mostly that is one quorum. While a slot moves from some owners to others there are
 * two: a quorum of either side, with votes of owners on both sides counting in both (joint consensus, Ongaro 2014, 4.3). None
 * at all is met by nobody's vote.
 */
export type Quorums = readonly Quorum[]

/** `needed` of `group`; 1 <= needed <= voters in the group. */
export function quorumOf(group: number, needed: number): Quorum {
  const size = countVoters(group)
  assert(Number.isInteger(needed) && needed >= 1 && needed <= size, `${needed} needed of ${size} voters`)
  return { group, needed }
}

/** The group of so many voters, beginning with the first. */
export function firstVoters(count: number): number {
  assert(Number.isInteger(count) && count >= 0 && count <= votersMax, `a group of ${count} voters`)
  return count === votersMax ? -1 : (1 << count) - 1
}

/** How many voters there are in a mask (Warren, Hacker's Delight, 5-1). */
export function countVoters(mask: number): number {
  let bits = mask - ((mask >>> 1) & 0x55555555)
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

/** Whether these voters meet all quorums. */
export function isMet(quorums: Quorums, voters: number): boolean {
  for (let i = 0; i < quorums.length; i++) {
    const { group, needed } = quorums[i]!
    if (countVoters(voters & group) < needed) return false
  }
  return true
}

/** Whether one more voter brings some quorum nearer that `voters` do not meet. */
export function isWanted(quorums: Quorums, voters: number, voter: number): boolean {
  if ((voters & voter) !== 0) return false
  for (let i = 0; i < quorums.length; i++) {
    const { group, needed } = quorums[i]!
    if ((group & voter) !== 0 && countVoters(voters & group) < needed) return true
  }
  return false
}
