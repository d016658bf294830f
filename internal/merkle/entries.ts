import { compareBytes } from '../base/index.js'
import { compareVersions, type Version } from '../hlc/index.js'

/** What a replica says of one record before anything of it travels. */
export interface Entry {
  readonly key: Uint8Array
  readonly version: Version
  /** Of the whole record, encoded. */
  readonly bytes: number
}

export interface Difference {
  /** Of theirs: what is absent or older here. */
  readonly lacking: readonly Entry[]
  /** Of mine: what is absent or older there. */
  readonly ahead: readonly Entry[]
}

/**
 * What must travel so that two replicas become equal in one stretch of keys: both lists are in the byte order of keys
 * and hold each key once. A key that one side has never heard of is older than anything: absent never beats present.
 * Equal versions are the same write.
 */
export function compareEntries(mine: readonly Entry[], theirs: readonly Entry[]): Difference {
  const lacking: Entry[] = []
  const ahead: Entry[] = []
  let m = 0
  let t = 0
  while (m < mine.length || t < theirs.length) {
    const here = mine[m]
    const there = theirs[t]
    const byKey = here === undefined ? 1 : there === undefined ? -1 : compareBytes(here.key, there.key)
    const byVersion = byKey !== 0 ? -byKey : compareVersions(here!.version, there!.version)
    if (byVersion > 0) ahead.push(here!)
    if (byVersion < 0) lacking.push(there!)
    if (byKey <= 0) m++
    if (byKey >= 0) t++
  }
  return { lacking, ahead }
}
