import { context, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { KvClient } from './index.js'
import { type Instrumentation, instrument } from './otel.js'
import { errorResult, FakeCluster } from './session/fake-server.test-support.js'
import { rejection } from './session/sockets.test-support.js'

const spanExporter = new InMemorySpanExporter()
const tracers = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spanExporter)] })
const tracer = tracers.getTracer('test')

let cluster: FakeCluster
let client: KvClient
let metricExporter: InMemoryMetricExporter
let meters: MeterProvider
let instrumentation: Instrumentation

beforeAll(() => tracers.register())

afterAll(async () => {
  await tracers.shutdown()
  trace.disable()
  context.disable()
})

beforeEach(async () => {
  cluster = await FakeCluster.start(3)
  client = new KvClient({ endpoints: cluster.endpoints })
  await client.ready()
  metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  meters = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 3_600_000 })],
  })
  instrumentation = instrument(client, { tracer, meter: meters.getMeter('test') })
})

afterEach(async () => {
  instrumentation.disable()
  await meters.shutdown()
  spanExporter.reset()
  await client.close()
  cluster.stop()
})

const spans = (): ReadableSpan[] => spanExporter.getFinishedSpans()

interface Point {
  readonly name: string
  readonly unit: string
  readonly attributes: Record<string, unknown>
  readonly value: unknown
}

async function points(): Promise<Point[]> {
  await meters.forceFlush()
  return metricExporter
    .getMetrics()
    .at(-1)!
    .scopeMetrics.flatMap(({ metrics }) => metrics)
    .flatMap(({ descriptor: { name, unit }, dataPoints }) =>
      dataPoints.map(({ attributes, value }) => ({ name, unit, attributes, value })),
    )
}

test('an operation is a span of a client, with the stable names and no key', async () => {
  await client.put('secret-key', 'secret-value')
  const [span] = spans()
  const { port } = cluster.ownerOf('secret-key')
  expect(span).toMatchObject({ name: 'put', kind: SpanKind.CLIENT, status: { code: SpanStatusCode.UNSET } })
  expect(span!.attributes).toEqual({
    'db.system.name': 'quorumkv',
    'db.operation.name': 'put',
    'server.address': '127.0.0.1',
    'server.port': port,
  })
})

test('the parent of a span is what is active where the call is made', async () => {
  await tracer.startActiveSpan('request', async (parent) => {
    await client.get('k')
    await client.getMany(['a', 'b'])
    parent.end()
  })
  const request = spans().find(({ name }) => name === 'request')!
  for (const name of ['get', 'BATCH get']) {
    const span = spans().find((other) => other.name === name)!
    expect(span.spanContext().traceId).toBe(request.spanContext().traceId)
    expect(span.parentSpanContext?.spanId).toBe(request.spanContext().spanId)
  }
})

test('a failed operation says with what', async () => {
  for (const node of cluster.nodes) node.fault = () => errorResult('READ_ONLY', 'NOT_APPLIED')
  const error = await rejection(client.put('k', 'v'))
  const [span] = spans()
  expect(span!.status).toEqual({ code: SpanStatusCode.ERROR, message: error.message })
  expect(span!.attributes).toMatchObject({ 'error.type': 'read-only', 'db.response.status_code': 'read-only' })
})

test('a batch is one span with its size, and fails where an entry does', async () => {
  await client.putMany([
    ['a', '1'],
    ['b', '2'],
    ['c', 'v'.repeat(2_000_000)],
  ])
  await client.getMany(['a'])
  expect(spans().map(({ name, attributes }) => [name, attributes['db.operation.batch.size']])).toEqual([
    ['BATCH put', 3],
    ['get', undefined],
  ])
  expect(spans()[0]!.status.code).toBe(SpanStatusCode.ERROR)
  expect(spans()[0]!.attributes['error.type']).toBe('invalid-argument')
})

test('each page of a scan is a span', async () => {
  await client.putMany(['p:1', 'p:2', 'p:3'].map((key) => [key, ''] as const))
  spanExporter.reset()
  for await (const _ of client.scan({ prefix: 'p:', pageSize: 2 })) {
    // Reads on.
  }
  expect(spans().map(({ name }) => name)).toEqual(['scan', 'scan'])
})

test('durations are recorded in seconds, by operation, server and error', async () => {
  await client.put('k', 'v')
  await client.put('k', 'w')
  await rejection(client.get(''))
  const durations = (await points()).filter(({ name }) => name === 'db.client.operation.duration')
  expect(durations).toHaveLength(2)
  const puts = durations.find(({ attributes }) => attributes['db.operation.name'] === 'put')!
  expect(puts.unit).toBe('s')
  expect(puts.attributes).toEqual(spans()[0]!.attributes)
  const histogram = puts.value as { count: number; sum: number; buckets: { boundaries: number[] } }
  expect(histogram.count).toBe(2)
  expect(histogram.sum).toBeGreaterThan(0)
  expect(histogram.sum).toBeLessThan(5)
  expect(histogram.buckets.boundaries).toEqual([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10])
  const failed = durations.find(({ attributes }) => attributes['error.type'] === 'invalid-argument')!
  expect(failed.attributes['server.address']).toBeUndefined()
})

test('what waits and what was repeated is observed', async () => {
  const [first] = cluster.nodes
  first!.fault = () => errorResult('UNAVAILABLE', 'NOT_APPLIED')
  await client.put(cluster.keyOf(first!), 'v')
  const pointOf = (name: string, all: Point[]): unknown => all.find((point) => point.name === name)?.value
  const all = await points()
  expect(pointOf('quorumkv.client.operation.retries', all)).toBe(1)
  expect(pointOf('quorumkv.client.operations.pending', all)).toBe(0)
})

test('another client is not told of, and after the end nothing is', async () => {
  const other = new KvClient({ endpoints: cluster.endpoints })
  await other.get('k')
  await other.close()
  expect(spans()).toHaveLength(0)
  for (const node of cluster.nodes) node.fault = () => 'silence'
  const open = rejection(client.get('k', { timeoutMs: 50 }))
  instrumentation.disable()
  expect(spans()).toHaveLength(1)
  await open
  await rejection(client.get('k', { timeoutMs: 50 }))
  expect(spans()).toHaveLength(1)
})

test('spans or metrics alone may be asked for', async () => {
  instrumentation.disable()
  instrumentation = instrument(client, { tracer: false, meter: meters.getMeter('test') })
  await client.get('k')
  expect(spans()).toHaveLength(0)
  expect((await points()).some(({ name }) => name === 'db.client.operation.duration')).toBe(true)
})

test('a tracer whose ids are no trace context, or in capitals, does no harm', async () => {
  const span = trace.wrapSpanContext({ traceId: 'abc', spanId: '1', traceFlags: 1 })
  const capitals = trace.wrapSpanContext({ traceId: 'AB'.repeat(16), spanId: 'CD'.repeat(8), traceFlags: 1 })
  const uncaught: unknown[] = []
  const caught = (error: unknown): void => void uncaught.push(error)
  process.on('uncaughtException', caught)
  try {
    for (const given of [span, capitals]) {
      const own: Tracer = { startSpan: () => given, startActiveSpan: tracer.startActiveSpan.bind(tracer) }
      using _ = instrument(client, { tracer: own, meter: false })
      await client.put('key', 'value')
      await new Promise((resolve) => setImmediate(resolve))
    }
  } finally {
    process.off('uncaughtException', caught)
  }
  expect(uncaught).toEqual([])
})
