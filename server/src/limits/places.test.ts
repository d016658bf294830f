import { type ServiceError, status } from '@grpc/grpc-js'
import { KvError } from '@quorumkv/internal/base'
import { Consistency, type Result, type SessionResponse } from '@quorumkv/proto/kv/v1/kv'
import { newToken } from '@quorumkv/proto/tokens'
import { describe, expect, it } from 'vitest'
import { entry, TestAuthFile } from '../access/access.test-support.js'
import { AccessControl } from '../access/access-control.js'
import { AuthFile } from '../access/auth-file.js'
import { FakeNode } from '../calls/fake-node.test-support.js'
import { eventually, reply, startServices, testClock } from '../calls/services.test-support.js'
import { answer, type TestApp, testApp } from '../http/app.test-support.js'

const get = { key: Buffer.from('k'), consistency: Consistency.QUORUM }

function accessWith(rates: { operationsPerSecond: number; bytesPerSecond: number }, file?: AuthFile): AccessControl {
  const clock = { ...testClock, monotonicMs: () => 1_000 }
  return new AccessControl({ rates, clock, log: console as never, audit: () => undefined, node: () => undefined, file })
}

it('a principal that goes too fast is overloaded, and told when to come again', async () => {
  const access = accessWith({ operationsPerSecond: 2, bytesPerSecond: 0 })
  await using services = await startServices(new FakeNode(), () => access)
  for (let i = 0; i < 2; i++) await reply((done) => services.kv.get(get, done))
  const error = (await reply((done) => services.kv.get(get, done)).catch((thrown: unknown) => thrown)) as ServiceError
  expect(error.code).toBe(status.RESOURCE_EXHAUSTED)
  expect(error.metadata.get('grpc-retry-pushback-ms')).toEqual(['500'])
  expect(services.bugs).toEqual([])
})

it('what has been read is paid for before more is', async () => {
  const node = new FakeNode()
  await node.put(get.key, Buffer.alloc(500), { consistency: 'quorum', deadlineMs: Number.POSITIVE_INFINITY } as never)
  const access = accessWith({ operationsPerSecond: 0, bytesPerSecond: 100 })
  await using services = await startServices(node, () => access)
  await reply((done) => services.kv.get(get, done))
  const error = (await reply((done) => services.kv.get(get, done)).catch((thrown: unknown) => thrown)) as ServiceError
  expect([error.code, error.metadata.get('grpc-retry-pushback-ms')]).toEqual([status.RESOURCE_EXHAUSTED, ['4020']])
})

it('a value that a put has replaced, and is told, is paid for as well', async () => {
  const access = accessWith({ operationsPerSecond: 0, bytesPerSecond: 100 })
  const node = new FakeNode()
  await node.put(get.key, Buffer.alloc(500), { consistency: 'quorum', deadlineMs: Number.POSITIVE_INFINITY } as never)
  await using services = await startServices(node, () => access)
  const put = { ...get, value: Buffer.alloc(0), returnPrevious: true }
  await reply((done) => services.kv.put(put, done))
  const error = (await reply((done) => services.kv.put(put, done)).catch((thrown: unknown) => thrown)) as ServiceError
  expect([error.code, error.metadata.get('grpc-retry-pushback-ms')]).toEqual([status.RESOURCE_EXHAUSTED, ['4020']])
})

it.each([
  ['operations', { operationsPerSecond: 2, bytesPerSecond: 0 }, 0, 500],
  ['bytes', { operationsPerSecond: 0, bytesPerSecond: 600 }, 600, 4],
])(
  'a session that brings too many %s is told of each that comes too early, and goes on',
  async (_, rates, size, waitMs) => {
    const node = new FakeNode()
    await node.put(get.key, Buffer.alloc(size), {
      consistency: 'quorum',
      deadlineMs: Number.POSITIVE_INFINITY,
    } as never)
    await using services = await startServices(node, () => accessWith(rates))
    const session = services.kv.session()
    session.on('error', () => undefined)
    const results: Result[] = []
    session.on('data', (response: SessionResponse) => results.push(...response.results))
    const send = (id: number): void => {
      const bare = { id, timeoutMs: 0, stampAboveMs: 0n, stampLimitMs: 0n, traceparent: '' }
      const value = { ...get, value: Buffer.alloc(0), returnPrevious: true, ttlMs: undefined }
      session.write({ observedHlc: 0n, operations: [{ ...bare, request: { $case: 'put', value } }], cancelled: [] })
    }
    for (let id = 1; id <= 3; id++) {
      send(id)
      await eventually('it is answered', () => results.length === id)
    }
    const refused = results.filter(({ outcome }) => outcome?.$case === 'error').map(({ outcome }) => outcome?.value)
    expect(refused.at(-1)).toMatchObject({ message: expect.stringContaining(`come again after ${waitMs} ms`) })
    session.cancel()
  },
)

describe('over HTTP', () => {
  const appWith = (operationsPerSecond: number, bytesPerSecond: number): TestApp =>
    testApp(new FakeNode(), {}, () => accessWith({ operationsPerSecond, bytesPerSecond }))
  const octets = { 'content-type': 'application/octet-stream' }

  it.each([
    ['PUT', '/kv/k', { headers: octets, body: 'v' }],
    ['GET', '/kv/k', {}],
    ['DELETE', '/kv/k', {}],
    ['GET', '/kv', {}],
  ])('%s %s is one operation, and one too many says when to come again', async (method, path, init) => {
    const { app, bugs } = appWith(2, 0)
    const statuses = [await app.request(path, { method, ...init }), await app.request(path, { method, ...init })]
    expect(statuses.every(({ status }) => status !== 429)).toBe(true)
    const refused = await app.request(path, { method, ...init })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1'])
    const outcome = method === 'GET' ? {} : { outcome: 'not-applied' }
    expect(await answer(refused)).toMatchObject({ code: 'overloaded', retryable: true, ...outcome })
    expect(bugs).toEqual([])
  })

  it('bytes of keys and values are paid for, those that are read as well', async () => {
    const { app } = appWith(0, 100)
    const put = (bytes: number): Promise<Response> | Response =>
      app.request('/kv/k', { method: 'PUT', headers: octets, body: new Uint8Array(bytes) })
    // The key has one.
    expect([(await put(99)).status, (await put(0)).status]).toEqual([200, 429])
    const other = appWith(0, 100).app
    expect((await other.request('/kv/k')).status).toBe(404)
    expect((await other.request('/kv/k', { method: 'PUT', headers: octets, body: new Uint8Array(98) })).status).toBe(
      200,
    )
    expect((await other.request('/kv/k')).status).toBe(429)
  })

  it.each(['/kv/k', '/kv'])('what GET %s has read is paid for before more is', async (path) => {
    const node = new FakeNode()
    await node.put(get.key, Buffer.alloc(500), { consistency: 'quorum', deadlineMs: Number.POSITIVE_INFINITY } as never)
    const { app } = testApp(node, {}, () => accessWith({ operationsPerSecond: 0, bytesPerSecond: 100 }))
    expect((await app.request(path)).status).toBe(200)
    const refused = await app.request(path)
    // 402 or 401 too many, and one more.
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5'])
  })
})

it('an entry of the auth file says how fast its principal may go, and keeps its bucket while it says the same', () => {
  using file = new TestAuthFile()
  const app = newToken('app')
  const own = entry(app, 'app').replace('principals:\n', '')
  file.write(`${entry(file.token)}${own}    operationsPerSecond: 1\n`)
  const access = accessWith({ operationsPerSecond: 0, bytesPerSecond: 0 }, new AuthFile(file.path))
  const { rate } = access.identify(`Bearer ${app}`)
  rate!.admit(0)
  expect(() => rate!.admit(0)).toThrow(KvError)
  expect(access.identify(`Bearer ${app}`).rate).toBe(rate)
  expect(access.identify(`Bearer ${file.token}`).rate).toBeUndefined()
  access.stop()
})
