import type { Version } from '../hlc/index.js'
import type { StoredRecord } from '../record/index.js'

/** What `Table.merge` did: stored the record; found the very same one; found a higher one. */
export type MergeOutcome = 'applied' | 'same' | 'stale'

/**
 * What `Table.merge` met under the key before it changed anything. Made once and filled again by every merge, so that to
 * tell costs no object; what is to be kept must be taken out before the next merge.
 */
export class Met {
  /** Whether there was a record. If not, the other fields say nothing. */
  found = false
  hi = 0
  lo = 0
  node = 0
  tombstone = false
  /** Unix milliseconds; 0: never. */
  expiresAtMs = 0
  /** A copy of the record that was replaced, where it was asked for. */
  previous: StoredRecord | undefined = undefined

  /** The version of what was met, to keep. */
  get version(): Version {
    return { hi: this.hi, lo: this.lo, node: this.node }
  }
}
