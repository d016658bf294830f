import { KvError } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import type { Clock, Log } from '@quorumkv/internal/env'
import type { AccessControl } from '../access/access-control.js'
import type { ProcessMeter } from '../figures/process-meter.js'
import type { AnswerTurns } from '../limits/answer-turns.js'
import type { DoorReading } from '../limits/door-reading.js'
import type { Readers } from '../limits/slow-peers.js'
import type { Traffic } from '../links/link-traffic.js'
import type { Certificates } from '../tls/certificates.js'

/** Calls of clients that run for long. */
export interface CallCounts {
  /** Sessions and scans. */
  readonly streams: number
  readonly sessions: number
}

/** What the gRPC services share. */
export interface ServiceContext {
  readonly clock: Clock
  readonly log: Log
  /** Who calls, and what they may do. */
  readonly access: AccessControl
  /** Watches the process. */
  readonly meter: Pick<ProcessMeter, 'eventLoopDelay' | 'read'>
  /** What goes to other nodes and comes from them. */
  readonly traffic: Traffic
  /** Cuts off who does not take what waits for it. */
  readonly readers?: Readers
  /** What TLS is spoken with; undefined: it is not. */
  readonly certificates?: Certificates | undefined
  /** What is counted at the doors of the node. Undefined: nobody stands there. */
  readonly doors?: () => readonly DoorReading[]
  /** Whether too many answers to calls wait at this moment for those who called. Undefined: nobody counts them. */
  readonly answersAreFull?: () => boolean
  /** Whose turn it is to have an answer made. Undefined: everybody's. */
  readonly turns?: Pick<AnswerTurns, 'read' | 'answer'>
  /** Scans count themselves here. */
  readonly scans: { running: number }
  /** How many calls of clients are under way. */
  readonly calls: () => CallCounts
  /** The node behind the services; undefined while its store is being opened, and while no client is to reach it. */
  readonly node: () => Node | undefined
  /** The node takes no more requests of clients from now on, until it is started again. */
  readonly draining: () => void
  /** Our own code failed: the process must end, and nothing more may be acknowledged. */
  readonly onBug: (error: unknown) => void
}

/** The node, once it can be asked something. Throws `unavailable` before that. */
export function requireNode(context: ServiceContext): Node {
  const node = context.node()
  if (node === undefined) {
    throw new KvError('unavailable', 'the node is starting: its store is not open yet', { outcome: 'not-applied' })
  }
  return node
}

/** Hands anything but an expected failure to `onBug`. gRPC would turn it into a reply and carry on. */
export function reportBug(context: ServiceContext, error: unknown): void {
  if (!(error instanceof KvError)) context.onBug(error)
}
