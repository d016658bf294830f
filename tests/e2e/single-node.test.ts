import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { credentials, type ServiceError, status } from '@grpc/grpc-js'
import {
  Consistency,
  type GetResponse,
  type PutRequest,
  type PutResponse,
  KvClient as RawKv,
} from '@quorumkv/proto/kv/v1/kv'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeClient, startServer, type TestServer } from '../fixtures.js'

const consistency = Consistency.UNSPECIFIED
let server: TestServer

beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

function rawClient(): RawKv {
  return new RawKv(server.address, credentials.createInsecure(), { 'grpc.max_send_message_length': -1 })
}

function putRaw(raw: RawKv, fields: Partial<PutRequest>): Promise<PutResponse> {
  const request = { key: Buffer.from('k'), value: Buffer.from('v'), consistency, returnPrevious: false, ...fields }
  return new Promise((resolve, reject) => {
    raw.put(request, (error, response) => (error === null ? resolve(response) : reject(error)))
  })
}

describe('one node', () => {
  it('what was acknowledged is there after kill -9', async () => {
    await using client = makeClient([server.address])
    const { version } = await client.put('crash', 'kept')
    await client.put('gone', 'x')
    await client.delete('gone')
    await server.restart()
    const entry = await client.getEntry('crash')
    expect(entry?.text()).toBe('kept')
    expect(entry?.version.toString()).toBe(version.toString())
    expect(await client.get('gone')).toBeUndefined()
    // A write after a restart is above everything from before, whatever the clock says.
    const later = await client.put('crash', 'newer')
    expect(later.version.toString() > version.toString()).toBe(true)
  })

  it.each([
    ['__proto__', '__proto__'],
    ['constructor', 'constructor'],
    ['zero bytes', new Uint8Array([0, 0, 0])],
    ['bytes that are no text', new Uint8Array([0xff, 0xfe, 0x00, 0xc3])],
    ['emoji', '🗝️👩‍🚀'],
    ['1,024 bytes', 'k'.repeat(1024)],
    ['a space', ' '],
  ])('a key may be %s', async (_name, key) => {
    await using client = makeClient([server.address])
    await client.put(key, 'value of it')
    expect(await client.get(key)).toBe('value of it')
    expect((await client.delete(key)).existed).toBe(true)
    expect(await client.get(key)).toBeUndefined()
  })

  it('values are bytes: none, all of them, and exactly 1 MiB', async () => {
    await using client = makeClient([server.address])
    const every = Uint8Array.from({ length: 256 }, (_, i) => i)
    for (const value of [new Uint8Array(0), every, new Uint8Array(randomBytes(1_048_576))]) {
      await client.put('bytes', value)
      expect(Buffer.compare((await client.getBytes('bytes'))!, value)).toBe(0)
    }
  })

  it('a value of one byte more is refused, by the client and by the server', async () => {
    await using client = makeClient([server.address])
    const value = Buffer.alloc(1_048_577)
    await expect(client.put('large', value)).rejects.toMatchObject({ code: 'invalid-argument', field: 'value' })
    const raw = rawClient()
    const error = await putRaw(raw, { key: Buffer.from('large'), value }).catch((reason: ServiceError) => reason)
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining('value: ') })
    expect(await client.get('large')).toBeUndefined()
    raw.close()
  })

  it('a value that expires is gone, and stays gone over a restart', async () => {
    await using client = makeClient([server.address])
    await client.put('short', 'x', { ttlMs: 300 })
    await client.put('long', 'x', { ttlMs: 3_600_000 })
    expect(await client.get('short')).toBe('x')
    await expect.poll(() => client.get('short'), { timeout: 5_000 }).toBeUndefined()
    await server.restart()
    expect(await client.get('short')).toBeUndefined()
    expect((await client.getEntry('long'))?.expiresAt?.getTime()).toBeGreaterThan(Date.now() + 3_000_000)
  })

  it('a scan finds every key once', async () => {
    await using client = makeClient([server.address])
    const keys = Array.from({ length: 1_500 }, (_, i) => `scan:${i}`)
    await client.putMany(keys.map((key) => [key, `value of ${key}`] as const))
    const found = new Map<string, string>()
    for await (const { key, value } of client.scan({ prefix: 'scan:', pageSize: 100 })) {
      expect(found.has(key)).toBe(false)
      found.set(key, value)
    }
    expect([...found.keys()].sort()).toEqual([...keys].sort())
    expect(found.get('scan:7')).toBe('value of scan:7')
  })
})

describe('bad input', () => {
  it.each<[string, Partial<PutRequest>, string]>([
    ['no key', { key: Buffer.alloc(0) }, 'key'],
    ['a key of 1,025 bytes', { key: Buffer.alloc(1025) }, 'key'],
    ['a ttl of 0', { ttlMs: 0n }, 'ttl_ms'],
    ['a ttl of 2^64-1', { ttlMs: 2n ** 64n - 1n }, 'ttl_ms'],
    ['an unknown consistency', { consistency: 4 as Consistency }, 'consistency'],
    ['a negative consistency', { consistency: -1 as Consistency }, 'consistency'],
  ])('%s is refused, naming the field, and changes nothing', async (_name, fields, field) => {
    const raw = rawClient()
    const key = Buffer.from('untouched')
    const error = await putRaw(raw, { key, ...fields }).catch((reason: ServiceError) => reason)
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining(`${field}: `) })
    expect((error as ServiceError).metadata.get('kv-outcome')).toEqual(['not-applied'])
    const read = await new Promise<GetResponse>((resolve, reject) => {
      raw.get({ key, consistency }, (reason, response) => (reason === null ? resolve(response) : reject(reason)))
    })
    expect(read.found).toBe(false)
    raw.close()
  })

  it('a message beyond the limit is refused, and the process lives', async () => {
    const raw = rawClient()
    const error = await putRaw(raw, { value: Buffer.alloc(8_000_000) }).catch((reason: ServiceError) => reason)
    expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED })
    await putRaw(raw, {})
    raw.close()
  })

  it('bytes that are no HTTP/2 end that connection only', async () => {
    const pid = server.pid
    for (const junk of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), randomBytes(10_000), Buffer.alloc(0)]) {
      const socket = connect(Number(server.address.split(':')[1]), '127.0.0.1')
      socket.on('error', () => undefined)
      socket.resume()
      await new Promise<void>((resolve) => socket.once('connect', resolve))
      await new Promise<void>((resolve) => {
        socket.once('close', () => resolve())
        socket.end(junk)
      })
    }
    await using client = makeClient([server.address])
    await client.put('alive', 'yes')
    expect(server.pid).toBe(pid)
  })
})
