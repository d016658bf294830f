export type { Clock, Timer } from './clock.js'
export {
  type Disk,
  DiskError,
  type DiskErrorCode,
  type DiskFile,
  type OpenMode,
  readFully,
  writeFully,
} from './disk.js'
export { ForwardingDisk, ForwardingFile } from './forwarding-disk.js'
export { Life } from './life.js'
export { type Log, silentLog } from './log.js'
export type { Channel, Link, LinkHandlers, Listener, Network, PeerProof } from './network.js'
export type { Random } from './random.js'
