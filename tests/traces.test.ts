import { tracingChannel } from 'node:diagnostics_channel'
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import {
  AlwaysOffSampler,
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node'
import { KvClient } from '@quorumkv/client'
import { instrument } from '@quorumkv/client/otel'
import type { ServerOperationTrace, ServerReplicaTrace } from '@quorumkv/server'
import { type LocalCluster, startLocalCluster } from '@quorumkv/server/local'
import { instrumentServer } from '@quorumkv/server/otel'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'

const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
const tracer = provider.getTracer('test')

let cluster: LocalCluster
let client: KvClient
const closing: (() => unknown)[] = []

beforeAll(async () => {
  provider.register()
  cluster = await startLocalCluster({ nodes: 3, httpPort: 0 })
  await cluster.ready()
})

afterAll(async () => {
  await cluster.stop()
  await provider.shutdown()
  trace.disable()
  context.disable()
})

beforeEach(async () => {
  client = new KvClient({ endpoints: cluster.endpoints })
  await client.ready()
})

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  await client.close()
  exporter.reset()
})

const spans = (): ReadableSpan[] => exporter.getFinishedSpans()
const parentOf = (span: ReadableSpan): ReadableSpan | undefined =>
  spans().find((other) => other.spanContext().spanId === span.parentSpanContext?.spanId)
const nodeOf = ({ attributes }: ReadableSpan): unknown => attributes['quorumkv.node.id']

/** Until all that a put or get begins has ended, also what its client does not wait for. */
const finished = (count: number): Promise<unknown> =>
  vi.waitFor(() => expect(spans().length).toBeGreaterThanOrEqual(count), { timeout: 10_000, interval: 5 })

/** So long that a part which came late would be there. */
async function quiet(): Promise<void> {
  await client.get('after everything else', { consistency: 'all' })
}

function watchAll(): void {
  const ends = [instrument(client, { tracer, meter: false }), instrumentServer({ tracer })]
  closing.push(() => {
    for (const end of ends) end.disable()
  })
}

function watchNodes(): void {
  const watching = instrumentServer({ tracer })
  closing.push(() => watching.disable())
}

function listen<T extends object>(name: string): T[] {
  const told: T[] = []
  const subscriber = {
    start: () => undefined,
    end: () => undefined,
    asyncStart: () => undefined,
    asyncEnd: (message: T) => {
      told.push(message)
    },
    error: () => undefined,
  }
  const channel = tracingChannel<unknown, T>(name)
  channel.subscribe(subscriber)
  closing.push(() => channel.unsubscribe(subscriber))
  return told
}

describe('spans of a sampled request', () => {
  test('a put is a tree: client, coordinator, and below it the part of each owner on its own node', async () => {
    watchAll()
    await client.put('k', 'v', { consistency: 'all' })
    await finished(5)
    const [put] = spans().filter(({ kind }) => kind === SpanKind.CLIENT)
    const [coordinator] = spans().filter(({ name, kind }) => name === 'put' && kind === SpanKind.SERVER)
    const parts = spans().filter(({ name }) => name === 'replica put')
    expect(spans()).toHaveLength(5)
    expect(parentOf(put!)).toBeUndefined()
    expect(parentOf(coordinator!)).toBe(put)
    expect(parts.map(nodeOf).sort()).toEqual(['n1', 'n2', 'n3'])
    for (const part of parts) {
      expect(parentOf(part)).toBe(coordinator)
      const here = nodeOf(part) === nodeOf(coordinator!)
      expect(part.kind).toBe(here ? SpanKind.INTERNAL : SpanKind.SERVER)
      expect(part.attributes['quorumkv.peer.id']).toBe(nodeOf(coordinator!))
      expect(part.attributes).toMatchObject({ 'quorumkv.answer': 'applied', 'quorumkv.request.bytes': 2 })
      expect(part.attributes['quorumkv.log.wait_ms']).toBeGreaterThan(0)
    }
    expect(new Set(spans().map((span) => span.spanContext().traceId)).size).toBe(1)
  })

  test('the coordinator tells whom it asked, what they answered and how long it waited for each', async () => {
    watchAll()
    await client.put('k', 'v', { consistency: 'all' })
    await finished(5)
    const [coordinator] = spans().filter(({ name, kind }) => name === 'put' && kind === SpanKind.SERVER)
    expect(coordinator!.attributes).toMatchObject({
      'db.system.name': 'quorumkv',
      'quorumkv.consistency': 'all',
      'quorumkv.attempts': 1,
    })
    expect([...(coordinator!.attributes['quorumkv.owners'] as string[])].sort()).toEqual(['n1', 'n2', 'n3'])
    expect(coordinator!.events).toHaveLength(3)
    for (const { name, attributes } of coordinator!.events) {
      expect([name, attributes!['quorumkv.owner.answer']]).toEqual(['owner', 'applied'])
      expect(attributes!['quorumkv.owner.wait_ms']).toBeGreaterThan(0)
    }
    for (const { attributes } of spans()) expect(JSON.stringify(attributes)).not.toContain('"k"')
  })

  test('a get is one as well, and a batch has the operations of all its keys below it', async () => {
    await client.putMany(
      ['a', 'b'].map((key) => [key, 'v'] as const),
      { consistency: 'all' },
    )
    watchAll()
    await client.getMany(['a', 'b'])
    await finished(7)
    const [batch] = spans().filter(({ kind }) => kind === SpanKind.CLIENT)
    expect(batch!.name).toBe('BATCH get')
    const coordinators = spans().filter(({ name, kind }) => name === 'get' && kind === SpanKind.SERVER)
    expect(coordinators).toHaveLength(2)
    for (const coordinator of coordinators) {
      expect(parentOf(coordinator)).toBe(batch)
      const parts = spans().filter((span) => parentOf(span) === coordinator)
      expect(parts.length).toBeGreaterThanOrEqual(2)
      for (const part of parts) expect([part.name, part.attributes['quorumkv.answer']]).toEqual(['replica get', 'held'])
    }
  })

  test('an owner that cannot be reached is told of, and a quorum that is missed ends in an error', async () => {
    const own = await startLocalCluster({ nodes: 3 })
    closing.push(() => own.stop())
    await own.ready()
    await client.close()
    client = new KvClient({ endpoints: own.endpoints.slice(0, 1), addressMap: () => own.endpoints[0]! })
    await client.ready()
    watchAll()
    await own.kill(1)
    await own.kill(2)
    await expect(client.put('k', 'v', { timeoutMs: 300 })).rejects.toThrow()
    const failed = spans().filter(
      ({ kind, status }) => kind === SpanKind.SERVER && status.code === SpanStatusCode.ERROR,
    )
    expect(failed.length).toBeGreaterThan(0)
    expect(['unavailable', 'timeout']).toContain(failed[0]!.attributes['error.type'])
  })

  test('a page of a scan has the span of its coordinator below it', async () => {
    watchAll()
    for await (const _ of client.scan({ prefix: 'nothing here' })) {
      // Reads on.
    }
    const [coordinator] = spans().filter(({ kind }) => kind === SpanKind.SERVER)
    expect([coordinator!.name, parentOf(coordinator!)?.name]).toEqual(['scan', 'scan'])
  })

  test('a traceparent over HTTP is gone on from', async () => {
    watchNodes()
    const [address] = cluster.nodes[0]!.httpAddresses
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    const traceparent = `00-${traceId}-b7ad6b7169203331-01`
    const answer = await fetch(`http://${address}/kv/k`, {
      method: 'PUT',
      body: 'v',
      headers: { traceparent, 'content-type': 'application/octet-stream' },
    })
    expect(answer.ok).toBe(true)
    await finished(4)
    const [coordinator] = spans().filter(({ name }) => name === 'put')
    expect(coordinator!.parentSpanContext).toMatchObject({ traceId, spanId: 'b7ad6b7169203331' })
    expect(spans().every((span) => span.spanContext().traceId === traceId)).toBe(true)
  })
})

describe('nothing is made of a request that is not sampled', () => {
  test('there are no spans, and nodes are told nothing', async () => {
    const off = new NodeTracerProvider({
      sampler: new AlwaysOffSampler(),
      spanProcessors: [new SimpleSpanProcessor(exporter)],
    })
    const ends = [instrument(client, { tracer: off.getTracer('off'), meter: false }), instrumentServer({ tracer })]
    closing.push(() => {
      for (const end of ends) end.disable()
    })
    const operations = listen<ServerOperationTrace>('kv:server:operation')
    await client.put('k', 'v')
    await client.get('k')
    await quiet()
    expect(spans()).toEqual([])
    expect(operations.length).toBeGreaterThanOrEqual(3)
    expect(operations.every(({ traceparent, sampled }) => traceparent === '' && !sampled)).toBe(true)
  })

  test('a client without traces makes none, though nodes are watched', async () => {
    watchNodes()
    await client.put('k', 'v')
    await quiet()
    expect(spans()).toEqual([])
  })

  test('a coordinator whose tracer does not sample has owners told nothing', async () => {
    const off = new NodeTracerProvider({ sampler: new AlwaysOffSampler() })
    const ends = [instrument(client, { tracer, meter: false }), instrumentServer({ tracer: off.getTracer('off') })]
    closing.push(() => {
      for (const end of ends) end.disable()
    })
    const parts = listen<ServerReplicaTrace>('kv:server:replica')
    await client.put('k', 'v', { consistency: 'all' })
    expect(parts).toHaveLength(3)
    expect(parts.every(({ sampled, traceparent }) => !sampled && traceparent === '')).toBe(true)
  })
})

describe('the channels', () => {
  test('tell of every operation and every part, sampled or not, while somebody listens', async () => {
    const operations = listen<ServerOperationTrace>('kv:server:operation')
    const parts = listen<ServerReplicaTrace>('kv:server:replica')
    const { slot } = await client.partition('some key')
    await client.put('some key', 'value', { consistency: 'all' })
    expect(operations).toHaveLength(1)
    const [put] = operations
    expect(put).toMatchObject({ operation: 'put', consistency: 'all', slot, bytes: 13, attempts: 1, outcome: 'ok' })
    expect(put!.durationMs).toBeGreaterThan(0)
    expect(put!.owners.map(({ node }) => node).sort()).toEqual(['n1', 'n2', 'n3'])
    for (const { asked, askedMs, answeredMs, answer } of put!.owners) {
      expect([asked, answer]).toEqual([1, 'applied'])
      expect(answeredMs).toBeGreaterThan(askedMs)
    }
    expect(parts.map(({ node }) => node).sort()).toEqual(['n1', 'n2', 'n3'])
    for (const part of parts) {
      expect(part).toMatchObject({ operation: 'put', peer: put!.node, bytes: 13, repair: false, answer: 'applied' })
      expect(part.logMs).toBeGreaterThan(0)
    }
    await client.get('never written')
    expect(operations.at(-1)).toMatchObject({ operation: 'get', outcome: 'ok' })
    expect(operations.at(-1)!.owners.map(({ answer }) => answer)).toContain('absent')
  })

  test('a request without a listener leaves no trace behind', async () => {
    const before = listen<ServerOperationTrace>('kv:server:operation')
    closing.pop()!()
    await client.put('k', 'v')
    expect(before).toEqual([])
  })
})
