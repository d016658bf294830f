import type { Target } from '../target.js'
import { documentFile, hintFile, logFile, snapshotFile } from './files.js'
import { peerMessage, sessionRequest, sessionResponse, topologyResponse, unaryRequest } from './messages.js'
import { session } from './session.js'
import { clientUrl, configFile, importLine, importStream, quantities, urlKey } from './text.js'

/** Everything that reads what others have written. */
export const targets: readonly Target[] = [
  ...[sessionRequest, unaryRequest, sessionResponse, topologyResponse, peerMessage],
  ...[logFile, snapshotFile, documentFile, hintFile],
  ...[configFile, clientUrl, quantities, importLine, importStream, urlKey],
  session,
]
