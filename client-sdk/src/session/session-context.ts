import type { KvError } from '../errors.js'
import type { ClientConfig } from '../options.js'
import type { TopologyView } from '../topology/topology.js'
import type { Operation } from './operation.js'
import type { Session } from './session.js'
import type { Reply } from './wire-reader.js'
import type { ClockReading } from './wire-writer.js'

/** What all sessions of a client share. */
export interface SessionContext {
  readonly config: ClientConfig
  /** Whose sessions they are, for who watches. */
  readonly client: object
  /** The highest clock in any reply of any node; it goes out with every message, so that later writes get later stamps. */
  readonly observed: ClockReading
  messagesSent: number
  messagesReceived: number
  retries: number
  /** An operation has its result. */
  onAnswer(operation: Operation, reply: Reply): void
  /**
   * An attempt has ended without a result. `applied` says whether this attempt may have been applied; the error's own
   * outcome has no say.
   */
  onAttemptFailed(operation: Operation, error: KvError, applied: 'no' | 'maybe'): void
  /** The session may be used: it is connected, or has proved that it lives. */
  onUp(session: Session): void
  onDown(session: Session, error: KvError): void
  onEpoch(epoch: number): void
  /** Operations are routed by this one from now on. */
  onTopology(view: TopologyView): void
}
