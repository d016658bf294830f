/**
 * Spans of OpenTelemetry for nodes.
 *
 * @module @quorumkv/server/otel
 */

import { tracingChannel } from 'node:diagnostics_channel'
import {
  type Attributes,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { OwnerTrace, ServerOperationTrace, ServerReplicaTrace, ServerTrace } from './tracing/channels.js'

/** What `instrumentServer` takes. */
export interface InstrumentServerOptions {
  /** Default: of the global tracer provider. */
  readonly tracer?: Tracer | undefined
  /** Only this node of the process, by its id. Default: all. */
  readonly node?: string | undefined
}

/** What `instrumentServer` began. */
export interface ServerInstrumentation extends Disposable {
  /** Ends it. Spans that are open are ended when what they stand for is. May be called again. */
  disable(): void
}

/**
 * Spans of OpenTelemetry for the nodes of this process, of requests whose `traceparent` is sampled and of no others: one of kind
 * SERVER for an operation on the node that coordinates it, below the caller's; and below that one for each
 * owner's part, on its own node, of kind SERVER, or INTERNAL where the node does it for itself. What is under way when
 * this is called is not told of.
 *
 * To have them of `kv-server`, load a file that sets up the SDK of OpenTelemetry and calls this before it:
 *
 * ```sh
 * NODE_OPTIONS='--import ./tracing.mjs' kv-server --data-dir data
 * ```
 */
export function instrumentServer(options: InstrumentServerOptions = {}): ServerInstrumentation {
  const watch = new ServerWatch(options.tracer ?? trace.getTracer('@quorumkv/server'), options.node)
  return { disable: () => watch.stop(), [Symbol.dispose]: () => watch.stop() }
}

class ServerWatch {
  readonly #tracer: Tracer
  readonly #node: string | undefined
  /** Everything that begins ends, so this holds no more than what is under way. */
  readonly #running = new Map<ServerTrace, Span>()
  readonly #undo: (() => void)[] = []

  constructor(tracer: Tracer, node: string | undefined) {
    this.#tracer = tracer
    this.#node = node
    this.#subscribe<ServerOperationTrace>(
      'kv:server:operation',
      (told) => {
        const span = this.#begin(told, told.operation, SpanKind.SERVER, operationAttributes(told))
        if (span !== undefined) told.propagate(traceparentOf(span.spanContext()))
      },
      endOperation,
    )
    this.#subscribe<ServerReplicaTrace>(
      'kv:server:replica',
      (told) => {
        const kind = told.peer === told.node ? SpanKind.INTERNAL : SpanKind.SERVER
        this.#begin(told, `replica ${told.operation}`, kind, replicaAttributes(told))
      },
      endPart,
    )
  }

  stop(): void {
    for (const step of this.#undo.splice(0)) step()
    for (const span of this.#running.values()) span.end()
    this.#running.clear()
  }

  #subscribe<T extends ServerTrace>(name: string, begin: (told: T) => void, end: (told: T, span: Span) => void): void {
    const { start, asyncEnd } = tracingChannel(name)
    const onStart = (message: unknown): void => begin(message as T)
    const onEnd = (message: unknown): void => {
      const told = message as T
      const span = this.#running.get(told)
      if (span === undefined) return
      this.#running.delete(told)
      end(told, span)
      span.end()
    }
    start.subscribe(onStart)
    asyncEnd.subscribe(onEnd)
    this.#undo.push(() => {
      start.unsubscribe(onStart)
      asyncEnd.unsubscribe(onEnd)
    })
  }

  #begin(told: ServerTrace, name: string, kind: SpanKind, attributes: Attributes): Span | undefined {
    if (!told.sampled || (this.#node !== undefined && told.node !== this.#node)) return undefined
    const parent = trace.setSpanContext(ROOT_CONTEXT, spanContextIn(told.traceparent))
    const span = this.#tracer.startSpan(name, { kind, attributes }, parent)
    this.#running.set(told, span)
    return span
  }
}

/** Of a `traceparent` that has been checked. */
function spanContextIn(traceparent: string): SpanContext {
  const [, traceId, spanId] = traceparent.split('-')
  return { traceId: traceId!, spanId: spanId!, traceFlags: TraceFlags.SAMPLED, isRemote: true }
}

function traceparentOf({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`
}

function operationAttributes({
  node,
  operation,
  consistency,
  slot,
  requestId,
  bytes,
}: ServerOperationTrace): Attributes {
  return {
    'db.system.name': 'quorumkv',
    'db.operation.name': operation,
    'quorumkv.node.id': node,
    'quorumkv.consistency': consistency,
    'quorumkv.request.bytes': bytes,
    ...(slot !== undefined && { 'quorumkv.slot': slot }),
    ...(requestId !== '' && { 'quorumkv.request.id': requestId }),
  }
}

function replicaAttributes({ node, operation, peer, bytes, repair }: ServerReplicaTrace): Attributes {
  return {
    'db.system.name': 'quorumkv',
    'db.operation.name': operation,
    'quorumkv.node.id': node,
    'quorumkv.peer.id': peer,
    'quorumkv.request.bytes': bytes,
    ...(repair && { 'quorumkv.repair': true }),
  }
}

function endOperation(told: ServerOperationTrace, span: Span): void {
  const { owners, attempts, outcome = 'ok' } = told
  span.setAttributes({ 'quorumkv.owners': owners.map(({ node }) => node), 'quorumkv.attempts': attempts })
  for (const owner of owners) span.addEvent('owner', ownerAttributes(owner))
  if (outcome !== 'ok') fail(span, outcome)
}

/** The waits, by the clock of who waited. */
function ownerAttributes({ node, asked, askedMs, answeredMs, answer }: OwnerTrace): Attributes {
  return {
    'quorumkv.node.id': node,
    'quorumkv.owner.asked': asked,
    ...(answer !== undefined && { 'quorumkv.owner.answer': answer }),
    ...(answeredMs !== undefined && { 'quorumkv.owner.wait_ms': answeredMs - askedMs }),
  }
}

function endPart({ answer, logMs }: ServerReplicaTrace, span: Span): void {
  span.setAttributes({ 'quorumkv.answer': answer, ...(logMs !== undefined && { 'quorumkv.log.wait_ms': logMs }) })
  if (answer !== undefined && !wellDone.has(answer)) fail(span, answer)
}

const wellDone: ReadonlySet<string> = new Set(['applied', 'stale', 'held', 'absent', 'refilling'])

function fail(span: Span, code: string): void {
  span.setAttributes({ 'error.type': code })
  span.setStatus({ code: SpanStatusCode.ERROR })
}
