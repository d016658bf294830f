import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel'
import { invalidArgument } from './errors.js'
import type { Operation, OperationKind } from './session/operation.js'
import type { Key } from './types.js'

/**
 * What is under way, for whoever watches: the tracing channels of `node:diagnostics_channel` with the names `kv:command`,
 * `kv:batch` and `kv:connect`. Each tells `start` and `end` of the call itself, `asyncStart` and `asyncEnd` when it is
 * settled, and `error` before these where it failed; all five get the same object, of one of the types here, to which
 * Node adds `result` or `error`. Where nobody listens, nothing is made: an operation asks once whether somebody does,
 * which takes 0.2 ns. With a listener an operation takes about 0.2 µs more.
 *
 * ```ts
 * import { tracingChannel } from 'node:diagnostics_channel'
 * tracingChannel('kv:command').subscribe({ asyncEnd: ({ operation, node, attempts, error }) => { … } })
 * ```
 *
 * A subscriber may keep what it is given, and must not change it. What it throws is an uncaught exception, as with
 * every channel of Node.
 */
export interface TraceOutcome {
  /** What the call resolved to. */
  result?: unknown
  /** The KvError that it rejected with. */
  error?: unknown
}

/** One operation on one key, over all its attempts, or one page of a scan: what `kv:command` tells. */
export interface CommandTrace extends TraceOutcome {
  /** The `KvClient`. */
  readonly client: object
  /** A getBytes or getEntry is a `get`; a `scan` is one page of it. */
  readonly operation: 'get' | 'put' | 'delete' | 'scan'
  /** As it was given; of a scan, its prefix. */
  readonly key: Key
  /** The getMany or putMany that it belongs to. */
  readonly batch: BatchTrace | undefined
  /** `host:port` of the node that was asked last; undefined: none yet. */
  readonly node: string | undefined
  /** How often it has been sent. */
  readonly attempts: number
  /**
   * Has the nodes told whose doing this is, by a `traceparent` of W3C Trace Context: what they do for it, and may tell of
   * it (`@quorumkv/server/otel`), belongs below that span. To be called during `start`. Of what is not sampled nothing is sent. Of a
   * scan, the page that opens a stream speaks for those that come over it.
   *
   * @throws KvError `invalid-argument` where it is no `traceparent`
   */
  propagate(traceparent: string): void
}

/** One getMany or putMany, typed or not: what `kv:batch` tells. */
export interface BatchTrace extends TraceOutcome {
  /** The `KvClient`. */
  readonly client: object
  /** A getManyEntries is a `getMany`. */
  readonly operation: 'getMany' | 'putMany'
  /** Keys or entries; undefined: what was given is no list, and is refused, or is of a length that only counting tells. */
  readonly size: number | undefined
}

/** One attempt to connect, until the node can be used: what `kv:connect` tells. */
export interface ConnectTrace extends TraceOutcome {
  /** The `KvClient`. */
  readonly client: object
  /** `host:port`, as it is reached from here. */
  readonly node: string
}

export const commandChannel: TracingChannel<unknown, CommandTrace> = tracingChannel('kv:command')
const batchChannel: TracingChannel<unknown, BatchTrace> = tracingChannel('kv:batch')
const connectChannel: TracingChannel<unknown, ConnectTrace> = tracingChannel('kv:connect')

const traceparentPattern = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/

/** What of a `traceparent` is sent: all of it, or nothing where it is not sampled. Throws `invalid-argument`. */
export function sampledTraceparent(traceparent: string): string {
  if (!traceparentPattern.test(traceparent)) throw invalidArgument('traceparent', 'must be one of W3C Trace Context')
  return (Number.parseInt(traceparent.slice(-1), 16) & 1) === 1 ? traceparent : ''
}

/** An operation that is watched. */
export class TracedOperation implements CommandTrace {
  readonly client: object
  readonly operation: OperationKind
  readonly key: Key
  readonly batch: BatchTrace | undefined
  declare result?: unknown
  declare error?: unknown
  #followed: Operation | undefined
  #traceparent = ''

  constructor(client: object, operation: OperationKind, key: Key, batch: BatchTrace | undefined) {
    this.client = client
    this.operation = operation
    this.key = key
    this.batch = batch
  }

  /** From now on it tells of this one. */
  follow(operation: Operation): Operation {
    this.#followed = operation
    operation.traceparent = this.#traceparent
    return operation
  }

  propagate(traceparent: string): void {
    this.#traceparent = sampledTraceparent(traceparent)
  }

  get node(): string | undefined {
    return this.#followed?.session?.address
  }

  get attempts(): number {
    return this.#followed?.attempts ?? 0
  }
}

/** Runs a batch; where somebody listens to it or to its operations, with what they are told. `items`: anything at all. */
export function inBatch<T>(
  client: object,
  operation: BatchTrace['operation'],
  items: unknown,
  run: (trace: BatchTrace | undefined) => Promise<T>,
): Promise<T> {
  if (!batchChannel.hasSubscribers && !commandChannel.hasSubscribers) return run(undefined)
  const trace: BatchTrace = { client, operation, size: sizeOf(items) }
  return batchChannel.tracePromise(() => run(trace), trace)
}

function sizeOf(items: unknown): number | undefined {
  if (Array.isArray(items)) return items.length
  return items instanceof Set || items instanceof Map ? items.size : undefined
}

/** What an attempt to connect has to be told when it is over; a second time says nothing. */
export type ConnectEnd = (error: Error | undefined) => void

/** Tells of an attempt to connect. Undefined where nobody listens. */
export function beginConnect(client: object, node: string): ConnectEnd | undefined {
  if (!connectChannel.hasSubscribers) return undefined
  const trace: ConnectTrace = { client, node }
  connectChannel.start.runStores(trace, () => connectChannel.end.publish(trace))
  let over = false
  return (error) => {
    if (over) return
    over = true
    if (error !== undefined) {
      trace.error = error
      connectChannel.error.publish(trace)
    }
    connectChannel.asyncStart.publish(trace)
    connectChannel.asyncEnd.publish(trace)
  }
}
