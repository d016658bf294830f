/**
 * Spans and metrics of OpenTelemetry for `KvClient`.
 *
 * @module @quorumkv/client/otel
 */

import { tracingChannel } from 'node:diagnostics_channel'
import {
  type Attributes,
  type BatchObservableCallback,
  context,
  type Histogram,
  isSpanContextValid,
  type Meter,
  metrics,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { KvClient } from './client.js'
import { KvError } from './errors.js'
import { parseEndpoint } from './topology/endpoints.js'
import type { BatchTrace, CommandTrace } from './tracing.js'
import type { PutOutcome } from './types.js'

/** What `instrument` takes. */
export interface InstrumentOptions {
  /** Default: of the global tracer provider. `false`: no spans. */
  readonly tracer?: Tracer | false | undefined
  /** Default: of the global meter provider. `false`: no metrics. */
  readonly meter?: Meter | false | undefined
}

/** What `instrument` began. */
export interface Instrumentation extends Disposable {
  /**
   * Ends it, and ends spans that are open. May be called again. To close the client does not: who makes many clients
   * disables what watches each, or their figures, and with them the clients, are kept.
   */
  disable(): void
}

const library = '@quorumkv/client'

/** As the conventions for `db.client.operation.duration` advise, in seconds. */
const durationBoundaries = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10]

/**
 * Spans and metrics of OpenTelemetry for one client, by the stable semantic conventions for databases: a span of kind
 * CLIENT for each operation, each getMany and putMany (as one, `BATCH get`) and each page of a scan, with
 * `db.system.name` ("quorumkv"), `db.operation.name`, `db.operation.batch.size`, `server.address`, `server.port`,
 * `error.type` and `db.response.status_code` (a KvError's code); and the histogram `db.client.operation.duration`. Besides
 * these, `quorumkv.client.operations.pending`, `quorumkv.client.operation.retries`. Keys and values are in none of them.
 *
 * The parent of a span is the context that is active where the call is made. Nodes are told of spans that are sampled (of a
 * batch, with each of its operations), and may go on below them: `instrumentServer` of `@quorumkv/server/otel`.
 *
 * ```ts
 * import { instrument } from '@quorumkv/client/otel'
 * const client = new KvClient(endpoints)
 * instrument(client)
 * ```
 */
export function instrument(client: KvClient, options: InstrumentOptions = {}): Instrumentation {
  const tracer = options.tracer ?? trace.getTracer(library)
  const meter = options.meter ?? metrics.getMeter(library)
  const watch = new Watch(client, tracer === false ? undefined : tracer, meter === false ? undefined : meter)
  return { disable: () => watch.stop(), [Symbol.dispose]: () => watch.stop() }
}

/** A call that runs. */
interface Running {
  readonly span: Span | undefined
  readonly startedAt: number
  readonly attributes: Attributes
}

class Watch {
  private readonly client: KvClient
  private readonly tracer: Tracer | undefined
  private readonly duration: Histogram | undefined
  /** Every call of a client ends, so this holds no more than what is under way. */
  private readonly running = new Map<CommandTrace | BatchTrace, Running>()
  private readonly undo: (() => void)[] = []

  constructor(client: KvClient, tracer: Tracer | undefined, meter: Meter | undefined) {
    this.client = client
    this.tracer = tracer
    this.duration = meter?.createHistogram('db.client.operation.duration', {
      description: 'Duration of database client operations.',
      unit: 's',
      advice: { explicitBucketBoundaries: durationBoundaries },
    })
    if (meter !== undefined) this.observe(meter)
    this.subscribe<CommandTrace>('kv:command', operationOf, ({ node, error }) => ({ node, error }))
    this.subscribe<BatchTrace>('kv:batch', batchOf, (batch) => ({ node: undefined, error: failureOf(batch) }))
  }

  stop(): void {
    for (const step of this.undo.splice(0)) step()
    for (const { span } of this.running.values()) span?.end()
    this.running.clear()
  }

  /** What `operationOfTrace` makes nothing of is not told of. */
  private subscribe<T extends CommandTrace | BatchTrace>(
    name: string,
    operationOfTrace: (told: T) => Attributes | undefined,
    endOf: (told: T) => { readonly node: string | undefined; readonly error: unknown },
  ): void {
    const { start, asyncEnd } = tracingChannel(name)
    const onStart = (message: unknown): void => {
      const told = message as T
      if (told.client !== this.client) return
      const operation = operationOfTrace(told)
      if (operation !== undefined) this.begin(told, operation)
      if ('propagate' in told) propagate(told, this.running.get(told.batch ?? told)?.span)
    }
    const onEnd = (message: unknown): void => {
      const told = message as T
      const running = this.running.get(told)
      if (running === undefined) return
      this.running.delete(told)
      const { node, error } = endOf(told)
      this.end(running, node, error)
    }
    start.subscribe(onStart)
    asyncEnd.subscribe(onEnd)
    this.undo.push(() => {
      start.unsubscribe(onStart)
      asyncEnd.unsubscribe(onEnd)
    })
  }

  private begin(told: CommandTrace | BatchTrace, operation: Attributes): void {
    const attributes = { 'db.system.name': 'quorumkv', ...operation }
    const name = String(operation['db.operation.name'])
    const span = this.tracer?.startSpan(name, { kind: SpanKind.CLIENT, attributes }, context.active())
    this.running.set(told, { span, startedAt: performance.now(), attributes })
  }

  private end({ span, startedAt, attributes }: Running, node: string | undefined, error: unknown): void {
    const seconds = (performance.now() - startedAt) / 1000
    const told = { ...serverOf(node), ...errorOf(error) }
    this.duration?.record(seconds, { ...attributes, ...told })
    if (span === undefined) return
    span.setAttributes(told)
    if (error !== undefined) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) })
    }
    span.end()
  }

  private observe(meter: Meter): void {
    const pending = meter.createObservableUpDownCounter('quorumkv.client.operations.pending', {
      description: 'Operations that wait for their results.',
      unit: '{operation}',
    })
    const retries = meter.createObservableCounter('quorumkv.client.operation.retries', {
      description: 'Attempts beyond the first that were sent to a node.',
      unit: '{attempt}',
    })
    const callback: BatchObservableCallback = (result) => {
      const stats = this.client.stats()
      result.observe(pending, stats.pending)
      result.observe(retries, stats.retries)
    }
    meter.addBatchObservableCallback(callback, [pending, retries])
    this.undo.push(() => meter.removeBatchObservableCallback(callback, [pending, retries]))
  }
}

function propagate(told: CommandTrace, span: Span | undefined): void {
  if (span === undefined) return
  const spanContext = span.spanContext()
  const { traceId, spanId, traceFlags } = spanContext
  // What a tracer gives is not ours: of ids that no node could take, none is told.
  if ((traceFlags & TraceFlags.SAMPLED) === 0 || !isSpanContextValid(spanContext)) return
  told.propagate(`00-${traceId.toLowerCase()}-${spanId.toLowerCase()}-01`)
}

/** Undefined: told as part of its batch. */
function operationOf({ operation, batch }: CommandTrace): Attributes | undefined {
  return batch === undefined ? { 'db.operation.name': operation } : undefined
}

/** By the conventions one operation is no batch. */
function batchOf({ operation, size }: BatchTrace): Attributes {
  const name = operation === 'getMany' ? 'get' : 'put'
  if (size !== undefined && size < 2) return { 'db.operation.name': name }
  return { 'db.operation.name': `BATCH ${name}`, ...(size !== undefined && { 'db.operation.batch.size': size }) }
}

/** A putMany resolves; that of some entries nothing has come is told by their outcomes. */
function failureOf({ error, result, operation }: BatchTrace): unknown {
  if (error !== undefined || operation !== 'putMany') return error
  const failed = (result as readonly PutOutcome[]).find((outcome) => !outcome.ok)
  return failed?.ok === false ? failed.error : undefined
}

function serverOf(node: string | undefined): Attributes {
  const endpoint = node === undefined ? undefined : parseEndpoint(node)
  return endpoint === undefined ? {} : { 'server.address': endpoint.host, 'server.port': endpoint.port }
}

function errorOf(error: unknown): Attributes {
  if (error === undefined) return {}
  const code = error instanceof KvError ? error.code : '_OTHER'
  return { 'error.type': code, 'db.response.status_code': code }
}
