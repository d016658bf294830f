import type { ErrorCode } from './errors.js'
import type { NodeId, Slot } from './ids.js'
import type { OperationKind, QuorumLevel } from './instruments.js'
import type { RequestName } from './slow-operations.js'

/** An operation that a node begins to coordinate, as who follows it is told. */
export interface TracedOperation {
  readonly kind: OperationKind
  readonly level: QuorumLevel
  /** Undefined: a scan, which goes through all of them. */
  readonly slot: Slot | undefined
  /** Of the key, or the prefix of a scan, and of the value to be written. */
  readonly bytes: number
  readonly request: RequestName | undefined
}

/** What a node does for one operation as one of its owners. */
export interface TracedPart {
  readonly kind: 'get' | 'put' | 'delete'
  /** Of the key and of the value to be written. */
  readonly bytes: number
  /** A write that brings a replica what others have already. */
  readonly isRepair: boolean
  /** The node that coordinates it; empty: one that has not said its name. */
  readonly coordinator: string
  /** Below which span it belongs, as the coordinator has said; empty: below none. Not checked. */
  readonly traceparent: string
}

/** Follows one part of an operation from its begin, on the node that holds the copy. Must not throw. */
export interface PartTrace {
  /** `answer`: what the coordinator is told, or the code of what went wrong. */
  ended(answer: string): void
}

/**
 * Follows one operation on the node that coordinates it, from its begin. There is one only where somebody listens or the
 * request is sampled. Nothing here may throw.
 */
export interface OperationTrace {
  /** What the other owners are told, so that their parts come to lie below this operation; empty: nothing. */
  readonly traceparent: string
  /** It goes out, for the first time or under another stamp or epoch. */
  attempted(): void
  asked(owner: NodeId): void
  answered(owner: NodeId, answer: string): void
  /** A part of it that this node does itself. Undefined: nobody listens to parts. */
  here(part: Pick<TracedPart, 'kind' | 'bytes' | 'isRepair'>): PartTrace | undefined
  /** `code`: why it failed; undefined: it did not. Called once, though answers may come later. */
  ended(code: ErrorCode | undefined): void
}

/** Who follows single operations of a node. */
export interface TraceWatch {
  /** Undefined: nobody wants to know of this one. */
  operation(begun: TracedOperation): OperationTrace | undefined
  /** Whether anybody listens to `operation`, whatever is sampled. */
  readonly listensToOperations: boolean
  /** Whether anybody listens to `part`. */
  readonly listensToParts: boolean
  part(begun: TracedPart): PartTrace
}
