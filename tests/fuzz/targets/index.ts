import type { Target } from '../target.js'
import { authFile, authorization, certificateNames } from './access.js'
import { certificateFile } from './certificates.js'
import { commandLine, shellLine } from './command-line.js'
import { lastEventId } from './feed.js'
import { documentFile, hintFile, logFile, snapshotFile } from './files.js'
import { backupFile, forgedLog, forgedSnapshot } from './forged.js'
import { grpcBytes, grpcMessage } from './grpc.js'
import { httpApp, httpBytes } from './http.js'
import { grpcMetadata, http2Frames } from './http2.js'
import { linkProof } from './link-proof.js'
import { login } from './login.js'
import { peerMessage, peerReply, sessionRequest, sessionResponse, topologyResponse, unaryRequest } from './messages.js'
import { peerBetween, peerLink } from './peers.js'
import { backupRestore } from './restore.js'
import { session } from './session.js'
import { settingTexts } from './settings.js'
import { clientUrl, configFile, cursor, importLine, importStream, quantities, urlKey } from './text.js'
import { restUrl } from './url.js'

/** Everything that reads what others have written. */
export const targets: readonly Target[] = [
  ...[sessionRequest, unaryRequest, sessionResponse, topologyResponse, peerMessage, peerReply],
  ...[logFile, snapshotFile, documentFile, hintFile],
  ...[forgedLog, forgedSnapshot, backupFile],
  ...[authFile, authorization, certificateNames, cursor],
  ...[configFile, clientUrl, quantities, importLine, importStream, urlKey],
  ...[session, grpcMessage, grpcBytes, httpApp, httpBytes],
  ...[login, restUrl, lastEventId, grpcMetadata, http2Frames],
  ...[linkProof, certificateFile, settingTexts, commandLine, shellLine, backupRestore],
  ...[peerLink, peerBetween],
]
