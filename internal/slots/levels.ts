import { invalidArgument } from '../base/index.js'

/**
 * Feature levels that a node's software can go by. One number stands for all that nodes have to agree on across releases:
 * the messages between them, and the newest layout of files that is written. docs/adr/0032 has the table.
 */
export interface LevelRange {
  /** The oldest that it still goes by: releases before that cannot be mixed with it. */
  readonly min: number
  /** The newest: it reads files of all levels up to this one. */
  readonly max: number
}

/** What this software goes by. A release that adds something others do not understand raises `max`. */
export const softwareLevels: LevelRange = { min: 1, max: 2 }

const levelMax = 65_535

/** Throws KvError `invalid-argument` naming `field`. */
export function parseLevels({ min, max }: LevelRange, field: string = 'levels'): LevelRange {
  const areWhole = Number.isInteger(min) && Number.isInteger(max)
  if (!areWhole || min < 1 || max < min || max > levelMax) {
    throw invalidArgument(field, `must be from 1 to ${levelMax}, got ${min} to ${max}`)
  }
  return { min, max }
}

export function goesBy({ min, max }: LevelRange, level: number): boolean {
  return min <= level && level <= max
}

/** The newest level that all can go by; undefined: there is none. */
export function commonLevel(ranges: readonly LevelRange[]): number | undefined {
  const level = Math.min(...ranges.map(({ max }) => max))
  return ranges.every((range) => goesBy(range, level)) ? level : undefined
}

/** For people. */
export function levelsText({ min, max }: LevelRange): string {
  return min === max ? `level ${min}` : `levels ${min} to ${max}`
}
