import { backupManifests, backupSegments } from './backups.js'
import { documents } from './documents.js'
import { hints, logSegments, snapshots } from './files.js'
import type { GoldenFormat } from './golden.js'
import { peerMessages, publicMessages } from './messages.js'
import { cursors, sessionMessages } from './sessions.js'

/** Everything that one release writes and another may have to read. */
export const formats: readonly GoldenFormat[] = [
  logSegments,
  snapshots,
  hints,
  documents,
  backupSegments,
  backupManifests,
  peerMessages,
  publicMessages,
  sessionMessages,
  cursors,
]
