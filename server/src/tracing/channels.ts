import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel'

/**
 * What a node does, for whoever watches: the tracing channels of `node:diagnostics_channel` with the names
 * `kv:server:operation` and `kv:server:replica`. Each tells `start` and `end` when something begins, `asyncStart` and
 * `asyncEnd` when it is over, and `error` before these where it failed; all get the same object, of one of the types here.
 * Where nobody listens, nothing is made. A subscriber may keep what it is given, and must not change it; what it throws is an uncaught exception, as
 * with every channel of Node. Neither keys nor values are told.
 *
 * ```ts
 * import { tracingChannel } from 'node:diagnostics_channel'
 * tracingChannel('kv:server:operation').subscribe({ asyncEnd: ({ node, operation, slot, durationMs, owners }) => { … } })
 * ```
 */
export interface ServerTrace {
  /** The node that tells it: a process may run many. */
  readonly node: string
  /** The `traceparent` of whoever asked, by W3C Trace Context; empty: it said none, or nonsense. */
  readonly traceparent: string
  /** Whoever began the trace wants to see what becomes of the request. */
  readonly sampled: boolean
  /** Of the key, or the prefix of a scan, and of the value to be written. */
  readonly bytes: number
  /** Undefined while it runs. */
  readonly durationMs: number | undefined
}

/** One owner of the key, as the node that coordinates sees it. */
export interface OwnerTrace {
  readonly node: string
  /** How often it was asked: for its answer, for the record, to take a repair, or again. */
  readonly asked: number
  /** When it was asked first, since the begin of the operation. */
  readonly askedMs: number
  /** When it answered last; undefined: not so far. It may answer after the operation has ended. */
  readonly answeredMs: number | undefined
  /**
   * What it answered last: `applied`, `stale`, `held`, `absent`, `refilling`, `wrong-epoch`, `lost`, `failed`, or the code
   * with which it refused.
   */
  readonly answer: string | undefined
}

/** One operation on one key, or one page of a scan, on the node that coordinates it: what `kv:server:operation` tells. */
export interface ServerOperationTrace extends ServerTrace {
  readonly operation: 'get' | 'put' | 'delete' | 'scan'
  readonly consistency: 'one' | 'quorum' | 'all'
  /** Undefined: a scan, which goes through all of them. */
  readonly slot: number | undefined
  /** How its caller names it; empty: not at all. */
  readonly requestId: string
  /** Owners that have been asked. Of a scan none is told. */
  readonly owners: readonly OwnerTrace[]
  /** How often it went out: under another stamp or epoch anew. */
  readonly attempts: number
  /** How it ended: `ok`, or the code of the KvError; undefined while it runs. */
  readonly outcome: string | undefined
  /**
   * Has the owners told that their parts belong below this span, by its `traceparent`, instead of below the caller's. To be
   * called during `start`. Where it is not sampled (or is nonsense) they are told nothing.
   */
  propagate(traceparent: string): void
}

/** What a node does for one operation as an owner of its key: what `kv:server:replica` tells. */
export interface ServerReplicaTrace extends ServerTrace {
  readonly operation: 'get' | 'put' | 'delete'
  /** Who coordinates the operation; the node itself, for its own copy. */
  readonly peer: string
  /** A write that brings what others have already: read repair, a hint, anti-entropy. */
  readonly repair: boolean
  /** Of a write, how long it waited until the log had it on disk; undefined: a read, or it is not there so far. */
  readonly logMs: number | undefined
  /** As in `OwnerTrace`; undefined while it runs. */
  readonly answer: string | undefined
}

export const operationChannel: TracingChannel<unknown, ServerOperationTrace> = tracingChannel('kv:server:operation')
export const replicaChannel: TracingChannel<unknown, ServerReplicaTrace> = tracingChannel('kv:server:replica')
