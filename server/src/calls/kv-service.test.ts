import { Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { AssertionError, KvError, limits } from '@quorumkv/internal/base'
import {
  Consistency,
  type DeleteResponse,
  type GetResponse,
  type PutRequest,
  type PutResponse,
  type ScanRequest,
  type ScanResponse,
} from '@quorumkv/proto/kv/v1/kv'
import { describe, expect, it } from 'vitest'
import { FakeNode } from './fake-node.test-support.js'
import { eventually, reply, startServices } from './services.test-support.js'
import { giveUpAfterMs } from './unary.js'

const key = Buffer.from('k')
const unspecified = Consistency.UNSPECIFIED

function put(fields: Partial<PutRequest>): PutRequest {
  return { key, value: Buffer.from('v'), consistency: unspecified, returnPrevious: false, ...fields }
}

function scan(fields: Partial<ScanRequest>): ScanRequest {
  const empty = Buffer.alloc(0)
  return { prefix: empty, pageSize: 0, cursor: empty, keysOnly: false, consistency: unspecified, ...fields }
}

async function failure(call: Promise<unknown>): Promise<ServiceError> {
  const outcome = await call.then(
    (value) => ({ value }),
    (error: ServiceError) => error,
  )
  if ('value' in outcome) throw new Error(`succeeded with ${JSON.stringify(outcome.value)}`)
  return outcome
}

function outcomeOf(error: ServiceError): unknown {
  return error.metadata.get('kv-outcome')[0]
}

describe('unary calls', () => {
  it('a value comes back as it was put, with its version and expiry', async () => {
    await using services = await startServices()
    const { kv } = services
    const written = await reply<PutResponse>((done) =>
      kv.put(put({ value: Buffer.from([0, 255]), ttlMs: 5_000n }), done),
    )
    const read = await reply<GetResponse>((done) => kv.get({ key, consistency: unspecified }, done))
    expect(read).toEqual({
      found: true,
      value: Buffer.from([0, 255]),
      version: written.version,
      expiresAtMs: 1_700_000_005_000n,
    })
    const deleted = await reply<DeleteResponse>((done) => kv.delete({ key, consistency: unspecified }, done))
    expect(deleted.existed).toBe(true)
    expect((await reply<GetResponse>((done) => kv.get({ key, consistency: unspecified }, done))).found).toBe(false)
  })

  it('the previous value is returned where it is asked for', async () => {
    await using services = await startServices()
    const { kv } = services
    await reply<PutResponse>((done) => kv.put(put({ value: Buffer.from('old') }), done))
    const second = await reply<PutResponse>((done) => kv.put(put({ returnPrevious: true }), done))
    expect([second.hadPrevious, second.previousValue.toString()]).toEqual([true, 'old'])
  })

  it('that it is not known what a write replaced is told as such', async () => {
    const node = new FakeNode()
    node.replacedKnown = false
    await using services = await startServices(node)
    const { kv } = services
    const key = Buffer.from('k')
    const written = await reply<PutResponse>((done) => kv.put(put({ returnPrevious: true }), done))
    expect([written.hadPrevious, written.previousUnknown]).toEqual([false, true])
    const deleted = await reply<DeleteResponse>((done) => kv.delete({ key, consistency: unspecified }, done))
    expect([deleted.existed, deleted.existedUnknown]).toEqual([false, true])
  })

  it.each<[string, Partial<PutRequest>, string]>([
    ['an empty key', { key: Buffer.alloc(0) }, 'key: must be 1 to 1024 bytes, got 0'],
    ['a long key', { key: Buffer.alloc(1025) }, 'key: must be 1 to 1024 bytes, got 1025'],
    ['a large value', { value: Buffer.alloc(1_048_577) }, 'value: must be at most 1048576 bytes, got 1048577'],
    ['a ttl of 0', { ttlMs: 0n }, 'ttl_ms: must be absent or 1 to 3153600000000, got 0'],
    ['a ttl beyond the limit', { ttlMs: 2n ** 63n }, 'ttl_ms: must be absent or'],
    ['an unknown consistency', { consistency: 9 as Consistency }, 'consistency: must be 0 (default), 1 (ONE)'],
  ])('%s is refused, naming the field', async (_name, fields, details) => {
    const node = new FakeNode()
    await using services = await startServices(node)
    const error = await failure(reply((done) => services.kv.put(put(fields), done)))
    expect(error.code).toBe(status.INVALID_ARGUMENT)
    expect(error.details).toContain(details)
    expect(outcomeOf(error)).toBe('not-applied')
    expect(node.records.size).toBe(0)
  })

  it('keys and values of exactly the limit are taken', async () => {
    await using services = await startServices()
    const request = put({ key: Buffer.alloc(1024, 1), value: Buffer.alloc(1_048_576, 2) })
    await reply((done) => services.kv.put(request, done))
    const read = await reply<GetResponse>((done) =>
      services.kv.get({ key: request.key, consistency: unspecified }, done),
    )
    expect(read.value.equals(request.value)).toBe(true)
  })

  it.each<[KvError, status, unknown]>([
    [new KvError('unavailable', 'no quorum', { outcome: 'not-applied' }), status.UNAVAILABLE, 'not-applied'],
    [new KvError('timeout', 'late', { outcome: 'unknown' }), status.DEADLINE_EXCEEDED, 'unknown'],
    [new KvError('overloaded', 'full', { outcome: 'not-applied' }), status.RESOURCE_EXHAUSTED, 'not-applied'],
    [new KvError('read-only', 'disk full', { outcome: 'not-applied' }), status.FAILED_PRECONDITION, 'not-applied'],
    [new KvError('unavailable', 'says nothing of the outcome'), status.UNAVAILABLE, 'unknown'],
  ])('a failed write carries its outcome: %s', async (thrown, code, outcome) => {
    const node = new FakeNode()
    node.failure = thrown
    await using services = await startServices(node)
    const error = await failure(reply((done) => services.kv.put(put({}), done)))
    expect([error.code, error.details, outcomeOf(error)]).toEqual([code, thrown.message, outcome])
    const read = await failure(reply((done) => services.kv.get({ key, consistency: unspecified }, done)))
    expect([read.code, outcomeOf(read)]).toEqual([code, undefined])
    expect(services.bugs).toEqual([])
  })

  it('half a surrogate pair in a message does not break the reply', async () => {
    const node = new FakeNode()
    node.failure = new KvError('unavailable', 'a\ud800b')
    await using services = await startServices(node)
    expect((await failure(reply((done) => services.kv.put(put({}), done)))).details).toBe('a\ufffdb')
  })

  it('a bug is reported and tells the client nothing', async () => {
    const node = new FakeNode()
    node.failure = new AssertionError('the tally went back')
    await using services = await startServices(node)
    const error = await failure(reply((done) => services.kv.put(put({}), done)))
    expect([error.code, outcomeOf(error)]).toEqual([status.INTERNAL, 'unknown'])
    expect(error.details).not.toContain('tally')
    expect(services.bugs).toEqual([node.failure])
  })

  it('a node whose store is not open yet is unavailable', async () => {
    await using services = await startServices('starting')
    const error = await failure(reply((done) => services.kv.put(put({}), done)))
    expect([error.code, outcomeOf(error)]).toEqual([status.UNAVAILABLE, 'not-applied'])
  })

  it('the node gives up a little before the client does, and says how the write ended', async () => {
    expect([giveUpAfterMs(1_000), giveUpAfterMs(20)]).toEqual([990, 18])
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const startMs = performance.now()
    const call = services.kv.put(put({}), new Metadata(), { deadline: Date.now() + 60_000 }, () => undefined)
    await eventually('the put is held', () => node.held?.length === 1)
    const [held] = node.held
    // The time left travels, not the deadline: what the way takes is added to it.
    expect(held!.deadlineMs).toBeGreaterThan(startMs + 50_000)
    expect(held!.deadlineMs).toBeLessThan(performance.now() + 60_000 - 5)
    call.cancel()
  })

  it('without a deadline the default holds, and a client that goes away cancels', async () => {
    const node = new FakeNode()
    node.held = []
    await using services = await startServices(node)
    const call = services.kv.put(put({}), () => undefined)
    await eventually('the put is held', () => node.held?.length === 1)
    const [held] = node.held
    expect(held!.deadlineMs - performance.now()).toBeLessThanOrEqual(limits.requestTimeoutMs)
    expect(held!.deadlineMs - performance.now()).toBeGreaterThan(limits.requestTimeoutMs - 1_000)
    call.cancel()
    await eventually('the operation is cancelled', () => held!.cancellation?.cancelled === true)
  })
})

describe('scan', () => {
  async function filled(count: number, valueBytes = 1): Promise<FakeNode> {
    const node = new FakeNode()
    const options = { consistency: 'quorum', deadlineMs: 0 } as const
    for (let i = 0; i < count; i++) {
      await node.put(Buffer.from(`k${String(i).padStart(5, '0')}`), Buffer.alloc(valueBytes), options)
    }
    return node
  }

  it('sends every page, the last without a cursor, and goes on behind a cursor', async () => {
    await using services = await startServices(await filled(25))
    const pages: ScanResponse[] = []
    for await (const page of services.kv.scan(scan({ prefix: key, pageSize: 10 }))) pages.push(page as ScanResponse)
    expect(pages.map(({ entries }) => entries.length)).toEqual([10, 10, 5])
    expect(pages.map(({ cursor }) => cursor.length > 0)).toEqual([true, true, false])
    const rest: ScanResponse[] = []
    const from = scan({ prefix: key, pageSize: 10, cursor: pages[0]!.cursor, keysOnly: true })
    for await (const page of services.kv.scan(from)) rest.push(page as ScanResponse)
    expect(rest.flatMap(({ entries }) => entries.map((entry) => entry.key.toString()))).toHaveLength(15)
    expect(rest[0]!.entries[0]!.value).toHaveLength(0)
  })

  it('a page is as large as its limit allows, and not larger', async () => {
    await using services = await startServices(await filled(limits.scanPageEntriesMax + 1, 0))
    const sizes: number[] = []
    const pageSize = limits.scanPageEntriesMax
    for await (const page of services.kv.scan(scan({ pageSize }))) sizes.push(page.entries.length)
    expect(sizes).toEqual([pageSize, 1])
    const stream = services.kv.scan(scan({ pageSize: pageSize + 1 }))
    const error = await new Promise<ServiceError>((resolve) => stream.once('error', resolve))
    expect(error.code).toBe(status.INVALID_ARGUMENT)
    expect(error.metadata.get('kv-field')).toEqual(['page_size'])
  })

  it('a long prefix is refused, naming the field', async () => {
    await using services = await startServices()
    const stream = services.kv.scan(scan({ prefix: Buffer.alloc(1025) }))
    const error = await new Promise<ServiceError>((resolve) => stream.once('error', resolve))
    expect(error.code).toBe(status.INVALID_ARGUMENT)
    expect(error.details).toContain('prefix: must be at most 1024 bytes, got 1025')
  })

  it('a client that stops reading stops the scan', async () => {
    const node = await filled(500, 100_000)
    await using services = await startServices(node)
    const stream = services.kv.scan(scan({ pageSize: 1 }))
    stream.on('error', () => undefined)
    stream.once('data', () => stream.pause())
    await eventually('the client buffer is full', () => stream.readableLength === stream.readableHighWaterMark)
    const settled = node.scans
    expect(settled).toBeLessThan(60)
    // Other calls on the same connection go through, each a turn in which the scan could run ahead.
    for (let i = 0; i < 50; i++)
      await reply<GetResponse>((done) => services.kv.get({ key, consistency: unspecified }, done))
    expect(node.scans).toBeLessThanOrEqual(settled + 3)
    stream.cancel()
  })

  it('a client that goes away ends the scan', async () => {
    const node = await filled(50, 200_000)
    await using services = await startServices(node)
    const stream = services.kv.scan(scan({ pageSize: 1 }))
    stream.on('error', () => undefined)
    stream.once('data', () => stream.cancel())
    await new Promise((resolve) => stream.once('close', resolve))
    const seen = node.scans
    await reply<GetResponse>((done) => services.kv.get({ key, consistency: unspecified }, done))
    expect(node.scans - seen).toBeLessThanOrEqual(1)
    expect(node.scans).toBeLessThan(50)
  })
})
