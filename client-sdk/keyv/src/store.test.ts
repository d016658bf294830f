import { readFileSync } from 'node:fs'
import type { KvClient } from '@quorumkv/client'
import { type Cluster, startCluster } from '@quorumkv/testing'
import Keyv, { type KeyvStoreAdapter } from 'keyv'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import KeyvQuorumKv, { KvError } from './index.js'

let cluster: Cluster
let client: KvClient

beforeAll(async () => {
  cluster = await startCluster()
  client = cluster.client()
})

afterAll(() => cluster.close())

beforeEach(async () => {
  for await (const { key } of client.scan({ keysOnly: true })) await client.delete(key)
})

function keyvOf(namespace: string, prefix?: string): Keyv {
  return new Keyv({ store: new KeyvQuorumKv(client, { prefix }), namespace })
}

test('it is what Keyv takes for a store', () => {
  const adapter: Omit<KeyvStoreAdapter, 'setMany' | 'iterator'> = new KeyvQuorumKv(client)
  expect(adapter.opts).toMatchObject({ dialect: 'etcd' })
})

test('an entry lies in the cluster under prefix, namespace and key', async () => {
  await keyvOf('users', 'cache:').set('1', { name: 'Ada' })
  expect(await client.get('cache:users:1')).toBe('{"value":{"name":"Ada"}}')
})

test('the cluster itself lets entries expire', async () => {
  const keyv = keyvOf('sessions')
  await keyv.set('1', 'Ada', 60_000)
  await keyv.set('2', 'Bob', 0.5)
  await keyv.set('3', 'Eve', Number.POSITIVE_INFINITY)
  expect((await client.getEntry('sessions:1'))?.expiresAt?.getTime()).toBeGreaterThan(cluster.clock.now())
  cluster.clock.advance(60_000)
  expect(await client.get('sessions:1')).toBeUndefined()
  expect(await client.get('sessions:2')).toBeUndefined()
  expect((await client.getEntry('sessions:3'))?.expiresAt).toBeUndefined()
})

test('clear and the iterator keep to their namespace, also where one is the beginning of another', async () => {
  const [one, more] = [keyvOf('a'), keyvOf('ab')]
  for (let i = 0; i < 300; i++) await one.set(`${i}`, i)
  await more.set('kept', true)
  await client.put('a', 'not ours')
  const seen = new Set<string>()
  for await (const [key] of one.iterator!(undefined)) seen.add(key)
  expect(seen.size).toBe(300)
  await one.clear()
  expect(await one.get('7')).toBeUndefined()
  expect(await more.get('kept')).toBe(true)
  expect(await client.get('a')).toBe('not ours')
})

test('clear deletes keys that are no text, too', async () => {
  const store = new KeyvQuorumKv(client)
  store.namespace = 'n'
  const key = Buffer.from([0x6e, 0x3a, 0xff])
  await client.put(key, 'written past Keyv')
  await store.set('n:a', '1')
  await store.clear()
  expect(await client.get(key)).toBeUndefined()
  expect(await store.get('n:a')).toBeUndefined()
})

test('clear without a namespace and without a prefix is refused: it would empty the cluster', async () => {
  const store = new KeyvQuorumKv(client)
  await client.put('key', 'value')
  await expect(store.clear()).rejects.toMatchObject({ code: 'invalid-argument', field: 'namespace' })
  expect(await client.get('key')).toBe('value')
  const own = new KeyvQuorumKv(client, { prefix: 'own:' })
  await own.set('key', 'value')
  await own.clear()
  expect(await own.has('key')).toBe(false)
  expect(await client.get('key')).toBe('value')
})

describe('many at once', () => {
  test('set, get, has and delete go by the order of the keys', async () => {
    const keyv = keyvOf('many')
    expect(
      await keyv.setMany([
        { key: 'a', value: 1 },
        { key: 'b', value: 2, ttl: 60_000 },
      ]),
    ).toEqual([true, true])
    expect(await keyv.getMany(['b', 'none', 'a'])).toEqual([2, undefined, 1])
    expect(await keyv.hasMany(['a', 'none', 'b'])).toEqual([true, false, true])
    expect(await keyv.deleteMany(['a', 'b'])).toBe(true)
    expect(await keyv.deleteMany(['a', 'b'])).toBe(false)
  })

  test('an entry that is too large fails alone, and is told of', async () => {
    const keyv = keyvOf('many')
    const told = vi.fn()
    keyv.on('error', told)
    const large = 'x'.repeat(1_100_000)
    expect(
      await keyv.setMany([
        { key: 'a', value: 1 },
        { key: 'b', value: large },
      ]),
    ).toEqual([true, false])
    expect(told).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 'invalid-argument', field: 'value' }))
    expect(await keyv.get('a')).toBe(1)
  })
})

describe('without a quorum', () => {
  test('each failure is told once, and none ends the process', async () => {
    await using small = await startCluster({ nodes: 2, replicationFactor: 2 })
    const store = new KeyvQuorumKv(small.client({ timeoutMs: 300 }))
    await small.kill(1)
    // Nobody listens here: an event would be thrown.
    await expect(store.get('key')).rejects.toBeInstanceOf(KvError)
    const keyv = new Keyv({ store })
    const told = vi.fn()
    keyv.on('error', told)
    expect(await keyv.set('key', 'value')).toBe(false)
    expect(told).toHaveBeenCalledTimes(1)
    expect(await keyv.get('key')).toBeUndefined()
    expect(told).toHaveBeenCalledTimes(2)
    expect(told).toHaveBeenLastCalledWith(expect.objectContaining({ name: 'KvError' }))
  })
})

test('disconnect closes the client that it made, and no other', async () => {
  const own = new KeyvQuorumKv(cluster.endpoints)
  await own.set('key', 'value')
  await own.disconnect()
  await expect(own.set('key', 'value')).rejects.toMatchObject({ code: 'closed' })
  await new KeyvQuorumKv(client).disconnect()
  expect(await client.get('key')).toBe('value')
})

test('a value that is no string is refused: Keyv was told not to serialize', async () => {
  const store = new KeyvQuorumKv(client)
  await expect(store.set('key', { a: 1 })).rejects.toMatchObject({ code: 'invalid-argument', field: 'value' })
})

test('the example in the README runs', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const [, example = ''] = /```js\n(.*?)```/s.exec(readme) ?? []
  const body = example.replace(/^import .*$/gm, '').replace("'kv://localhost:50051'", 'endpoints')
  expect(body).toContain('new Keyv(')
  const run = new Function('Keyv', 'KeyvQuorumKv', 'endpoints', `return (async () => {${body}\nreturn name })()`)
  expect(await run(Keyv, KeyvQuorumKv, [...cluster.endpoints])).toBe('Ada')
})
