import { FatalError } from '../base/index.js'

/** What is wrong with a file, where, and what should have been there. */
export interface Damage {
  readonly path: string
  readonly offset: number
  readonly expected: string
  readonly found: string
}

/** The data on disk is not what was written. The message names the place and says what a person can do. */
export function corruption(damage: Damage, cause?: unknown): FatalError {
  const { path, offset, expected, found } = damage
  return new FatalError(
    'corrupt',
    `${path} is damaged at byte ${offset}: expected ${expected}, found ${found}. The node does not start from damaged ` +
      'data: run "kv-server repair" on this data directory, which says what is lost, sets the damaged part aside and ' +
      'marks the slots that it cannot vouch for, so that the node has no say in them until other replicas have ' +
      'refilled them; or restore the directory from a backup',
    cause,
  )
}
