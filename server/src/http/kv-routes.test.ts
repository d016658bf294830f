import { KvError, limits } from '@quorumkv/internal/base'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FakeNode, fakeTopology, type HeldOperation } from '../calls/fake-node.test-support.js'
import { eventually } from '../calls/services.test-support.js'
import { answer, testApp } from './app.test-support.js'

const json = { 'content-type': 'application/json' }
const bytes = { 'content-type': 'application/octet-stream' }
const wantBytes = { headers: { accept: 'application/octet-stream' } }

/** Every byte as `%XX`: a path in which nothing can be taken for anything else. */
const encoded = (key: Uint8Array): string => [...key].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')

describe('a key', () => {
  it('and a value of any bytes come back as they were written', async () => {
    const node = new FakeNode()
    const { app } = testApp(node)
    const anyBytes = (minLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength, maxLength: 40 })
    // Dots alone are not keys that a path can hold: see the test below.
    const keys = anyBytes(1).filter((key) => !/^\.\.?$/.test(Buffer.from(key).toString('latin1')))
    const property = fc.asyncProperty(keys, anyBytes(0), async (key, value) => {
      const path = `/kv/${encoded(key)}`
      const put = await app.request(path, { method: 'PUT', headers: bytes, body: Buffer.from(value) })
      expect(put.status).toBe(200)
      expect([...node.records.keys()]).toContain(Buffer.from(key).toString('latin1'))
      const raw = await app.request(path, wantBytes)
      expect(Buffer.from(await raw.arrayBuffer())).toEqual(Buffer.from(value))
      const told = await answer(app.request(path))
      const text = (name: 'key' | 'value'): Buffer => {
        const plain = told[name]
        return plain === undefined ? Buffer.from(told[`${name}Base64`]!, 'base64') : Buffer.from(plain)
      }
      expect(text('key')).toEqual(Buffer.from(key))
      expect(text('value')).toEqual(Buffer.from(value))
    })
    await fc.assert(property, { numRuns: 200 })
  })

  it('is decoded exactly once', async () => {
    const node = new FakeNode()
    const { app } = testApp(node)
    for (const [path, key] of [
      ['a%2Fb', 'a/b'],
      ['a%252Fb', 'a%2Fb'],
      ['%2525', '%25'],
      ['a+b', 'a+b'],
      ['%3F%23', '?#'],
      ['%00', '\0'],
      ['__proto__', '__proto__'],
      ['x%0A%0D', 'x\n\r'],
      ["a'b(c)!*;,=@:&$~", "a'b(c)!*;,=@:&$~"],
    ] as const) {
      const body = JSON.stringify({ value: path })
      expect((await app.request(`/kv/${path}`, { method: 'PUT', headers: json, body })).status).toBe(200)
      expect([...node.records.keys()].at(-1)).toBe(key)
      expect(await (await app.request(`/kv/${path}`)).json()).toMatchObject({ found: true, key, value: path })
    }
  })

  it('that a path cannot hold is given in base64url', async () => {
    const node = new FakeNode()
    const { app } = testApp(node)
    const path = `/kv/${Buffer.from('..').toString('base64url')}?keyEncoding=base64url`
    await app.request(path, { method: 'PUT', headers: bytes, body: 'v' })
    expect([...node.records.keys()]).toEqual(['..'])
    expect(await (await app.request(path)).json()).toMatchObject({ key: '..', value: 'v' })
  })

  it('that was never written, or is deleted, is not found', async () => {
    const { app } = testApp()
    const absent = await app.request('/kv/a')
    expect([absent.status, await absent.json()]).toEqual([404, { found: false }])
    await app.request('/kv/a', { method: 'PUT', headers: json, body: '{"valueBase64":"/w=="}' })
    expect(await (await app.request('/kv/a')).json()).toMatchObject({ valueBase64: '/w==' })
    const deleted = await app.request('/kv/a', { method: 'DELETE' })
    expect(await deleted.json()).toMatchObject({ status: 'success', existed: true, version: expect.any(String) })
  })
})

describe('a put', () => {
  it('tells acknowledgements, copies and the version; a read tells the version again, and when it ends', async () => {
    const node = new FakeNode()
    node.topology = fakeTopology(1)
    node.useTables()
    const { app } = testApp(node)
    const put = await app.request('/kv/k?ttlMs=1000', { method: 'PUT', headers: json, body: '{"value":"v"}' })
    const { version, ...rest } = await answer(put)
    expect(rest).toEqual({ status: 'success', acks: 1, replicas: 1 })
    expect(version).toMatch(/^[0-9a-f]{24}$/)
    const expiresAt = new Date(1_700_000_001_000).toISOString()
    const told = await app.request('/kv/k')
    expect(await told.json()).toEqual({ found: true, key: 'k', value: 'v', version, expiresAt, nodeId: 'fake' })
    for (const method of ['GET', 'HEAD']) {
      const raw = await app.request('/kv/k', { method, ...wantBytes })
      expect(raw.headers.get('content-type')).toBe('application/octet-stream')
      expect(raw.headers.get('etag')).toBe(`"${version}"`)
      expect(raw.headers.get('x-kv-version')).toBe(version)
      expect(raw.headers.get('x-kv-expires-at')).toBe(expiresAt)
      expect(raw.headers.get('x-kv-node-id')).toBe('fake')
      expect(await raw.text()).toBe(method === 'GET' ? 'v' : '')
    }
    const known = await app.request('/kv/k', { headers: { 'if-none-match': `W/"${version}"` } })
    expect([known.status, await known.text()]).toEqual([304, ''])
  })

  it('takes a value of the largest size in each form, and not one byte more', async () => {
    const node = new FakeNode()
    const { app } = testApp(node)
    const largest = Buffer.alloc(limits.valueBytesMax, 'x')
    const forms = (value: Buffer): [headers: Record<string, string>, body: string | Uint8Array<ArrayBuffer>][] => [
      [bytes, Uint8Array.from(value)],
      [json, JSON.stringify({ value: value.toString() })],
      [json, JSON.stringify({ valueBase64: value.toString('base64') })],
    ]
    for (const [headers, body] of forms(largest)) {
      const response = await app.request('/kv/k', { method: 'PUT', headers, body })
      expect(response.status).toBe(200)
      expect(node.records.get('k')?.value.length).toBe(limits.valueBytesMax)
      await app.request('/kv/k', { method: 'DELETE' })
    }
    const before = node.records.size
    for (const [headers, body] of forms(Buffer.concat([largest, Buffer.from('x')]))) {
      const response = await app.request('/kv/k2', { method: 'PUT', headers, body })
      expect(response.status).toBe(413)
      expect(await response.json()).toMatchObject({ code: 'invalid-argument', field: 'value', outcome: 'not-applied' })
    }
    expect(node.records.size).toBe(before)
  })

  it('stops reading a body without a length that becomes too large', async () => {
    const { app, bugs } = testApp()
    let sent = 0
    const body = new ReadableStream({
      pull: (controller) => {
        sent += 65_536
        controller.enqueue(new Uint8Array(65_536))
      },
    })
    const request = new Request('http://localhost/kv/k', { method: 'PUT', headers: bytes, body, duplex: 'half' })
    expect((await app.request(request)).status).toBe(413)
    expect(sent).toBeLessThan(limits.valueBytesMax + 4 * 65_536)
    expect(bugs).toEqual([])
  })

  it('whose body breaks off is given up, and is no bug', async () => {
    const node = new FakeNode()
    const { app, bugs } = testApp(node)
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error('reset')) })
    const request = new Request('http://localhost/kv/k', { method: 'PUT', headers: bytes, body, duplex: 'half' })
    expect((await app.request(request)).status).toBe(499)
    expect([node.records.size, bugs]).toEqual([0, []])
  })
})

describe('a scan', () => {
  it('goes through all keys with a prefix of any bytes, page by page', async () => {
    const node = new FakeNode()
    const { app } = testApp(node)
    for (const key of ['%ff1', '%ff2', '%ff3', 'a b', 'a+b']) {
      await app.request(`/kv/${key}`, { method: 'PUT', headers: bytes, body: 'v' })
    }
    const first = await answer(app.request('/kv?prefix=%ff&limit=2'))
    expect(first.entries).toHaveLength(2)
    expect(first.entries![0]).toMatchObject({ keyBase64: '/zE=', value: 'v', version: expect.any(String) })
    const second = await answer(app.request(`/kv?prefix=%ff&limit=2&cursor=${first.cursor}`))
    expect(second.entries?.map(({ keyBase64 }) => keyBase64)).toEqual(['/zM='])
    expect(second.cursor).toBeUndefined()
    const keys = async (query: string): Promise<unknown> =>
      (await answer(app.request(`/kv?${query}`))).entries?.map(({ key }) => key)
    expect(await keys('prefix=a+')).toEqual(['a b'])
    expect(await keys('prefix=a%2b')).toEqual(['a+b'])
    const bare = await answer(app.request('/kv?prefix=a&keysOnly=true'))
    expect(bare.entries?.map((entry) => Object.keys(entry))).toEqual([
      ['key', 'version'],
      ['key', 'version'],
    ])
  })
})

describe('what fails', () => {
  const failures: [failure: unknown, status: number, code: string, retryable: boolean, retryAfter: string | null][] = [
    [new KvError('invalid-argument', 'cursor: bad', { field: 'cursor' }), 400, 'invalid-argument', false, null],
    [new KvError('unauthenticated', 'who?'), 401, 'unauthenticated', false, null],
    [new KvError('permission-denied', 'not you'), 403, 'permission-denied', false, null],
    [new KvError('overloaded', 'too much'), 429, 'overloaded', true, '1'],
    [new KvError('read-only', 'full'), 503, 'read-only', false, null],
    [new KvError('unavailable', 'no quorum'), 503, 'unavailable', true, '1'],
    [new KvError('closed', 'stopping'), 503, 'unavailable', true, '1'],
    [new KvError('timeout', 'late'), 504, 'timeout', true, null],
    [new Error('a secret of ours'), 500, 'internal', false, null],
  ]
  it.each(failures)('%s is a problem with status %i', async (failure, status, code, retryable, retryAfter) => {
    const node = new FakeNode()
    node.failure = failure
    const { app, bugs } = testApp(node)
    for (const init of [{ method: 'GET' }, { method: 'DELETE' }, { method: 'PUT', headers: bytes, body: 'v' }]) {
      const response = await app.request('/kv/k', init)
      expect(response.status).toBe(status)
      expect(response.headers.get('content-type')).toBe('application/problem+json')
      expect(response.headers.get('retry-after')).toBe(retryAfter)
      const problem = await answer(response)
      expect(problem).toMatchObject({ status, code, retryable, type: `urn:quorumkv:problem:${code}` })
      expect(problem.requestId).toBe(response.headers.get('x-request-id'))
      expect(problem.outcome).toBe(init.method === 'GET' ? undefined : 'unknown')
      expect(JSON.stringify(problem)).not.toContain('secret')
    }
    expect(bugs).toHaveLength(failure instanceof KvError ? 0 : 3)
  })

  it('before the store is open is unavailable, and certainly not applied', async () => {
    const { app } = testApp('starting')
    const response = await app.request('/kv/k', { method: 'PUT', headers: bytes, body: 'v' })
    expect(response.status).toBe(503)
    expect(await response.json()).toMatchObject({ code: 'unavailable', outcome: 'not-applied' })
  })
})

describe('an operation', () => {
  it('ends when its caller goes away', async () => {
    const node = new FakeNode()
    const held: HeldOperation[] = []
    node.held = held
    const { app } = testApp(node)
    const caller = new AbortController()
    const running = app.request(new Request('http://localhost/kv/k', { signal: caller.signal }))
    await eventually('it runs', () => held.length === 1)
    expect(held[0]!.cancellation?.cancelled).toBe(false)
    caller.abort()
    expect(held[0]!.cancellation?.cancelled).toBe(true)
    held[0]!.fail(new KvError('cancelled', 'nobody waits'))
    expect((await running).status).toBe(499)
  })

  it('has the time that its caller gives it, and no more', async () => {
    const node = new FakeNode()
    const held: HeldOperation[] = []
    node.held = held
    const { app } = testApp(node)
    const before = performance.now()
    const running = [app.request('/kv/k?timeoutMs=1234'), app.request('/kv/k')]
    await eventually('they run', () => held.length === 2)
    const [given, standard] = held.map(({ deadlineMs }) => deadlineMs)
    expect(given! - before).toBeGreaterThanOrEqual(1_234)
    expect(standard! - given!).toBeGreaterThan(limits.requestTimeoutMs - 1_234 - 1_000)
    for (const operation of held) operation.release()
    await Promise.all(running)
  })
})
