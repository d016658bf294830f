import type { Target } from '../target.js'
import { authFile, authorization, certificateNames } from './access.js'
import { documentFile, hintFile, logFile, snapshotFile } from './files.js'
import { backupFile, forgedLog, forgedSnapshot } from './forged.js'
import { grpcBytes, grpcMessage } from './grpc.js'
import { httpApp, httpBytes } from './http.js'
import { peerMessage, peerReply, sessionRequest, sessionResponse, topologyResponse, unaryRequest } from './messages.js'
import { peerBetween, peerLink } from './peers.js'
import { session } from './session.js'
import { clientUrl, configFile, cursor, importLine, importStream, quantities, urlKey } from './text.js'

/** Everything that reads what others have written. */
export const targets: readonly Target[] = [
  ...[sessionRequest, unaryRequest, sessionResponse, topologyResponse, peerMessage, peerReply],
  ...[logFile, snapshotFile, documentFile, hintFile],
  ...[forgedLog, forgedSnapshot, backupFile],
  ...[authFile, authorization, certificateNames, cursor],
  ...[configFile, clientUrl, quantities, importLine, importStream, urlKey],
  ...[session, grpcMessage, grpcBytes, httpApp, httpBytes],
  ...[peerLink, peerBetween],
]
