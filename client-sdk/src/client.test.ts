import { expect, test } from 'vitest'
import { KvClient, KvError, Version } from './index.js'
import { limits } from './limits.js'
import { rejection } from './session/sockets.test-support.js'
import { client, cluster, startThreeNodes } from './three-nodes.test-support.js'

startThreeNodes()

const sentOperations = (): number => cluster.nodes.reduce((sum, { operations }) => sum + operations.length, 0)

test('what was put is read back, and gone after a delete', async () => {
  const put = await client.put('user:1', 'Ada')
  expect(put.acks).toBe(2)
  expect(await client.get('user:1')).toBe('Ada')
  const deleted = await client.delete('user:1')
  expect(deleted.existed).toBe(true)
  expect(Version.compare(deleted.version, put.version)).toBeGreaterThan(0)
  expect(await client.get('user:1')).toBeUndefined()
  expect((await client.delete('user:1')).existed).toBe(false)
})

test('an entry has its bytes, text, expiry, version and the key as it was given', async () => {
  const key = new TextEncoder().encode('k')
  const before = Date.now()
  const { version } = await client.put(key, 'v', { ttlMs: 60_000 })
  const entry = await client.getEntry(key)
  expect(entry!.key).toBe(key)
  expect(entry!.value).toEqual(new Uint8Array([118]))
  expect(entry!.text()).toBe('v')
  expect(entry!.expiresAt!.getTime()).toBeGreaterThanOrEqual(before + 60_000)
  expect(Version.compare(entry!.version, version)).toBe(0)
  expect((await client.getEntry('k'))!.key).toBe('k')
  expect(await client.getEntry('absent')).toBeUndefined()
})

test('a version keeps its lowest bits above 2^53', async () => {
  cluster.hlc = 2n ** 63n + 2n
  const first = await client.put('a', '1')
  const second = await client.put('a', '2')
  expect(first.version.toString().slice(0, 16)).toBe('8000000000000003')
  expect(Version.compare(first.version, second.version)).toBeLessThan(0)
})

test('a put gives the replaced value when it is asked to, and only then', async () => {
  expect(await client.put('k', 'one', { returnPrevious: true })).toMatchObject({
    previousKnown: true,
    previous: undefined,
  })
  expect((await client.put('k', 'two', { returnPrevious: true })).previous!.text()).toBe('one')
  expect(await client.put('k', 'three')).not.toHaveProperty('previous')
})

test('bytes that are not UTF-8 are refused as text and given as bytes', async () => {
  await client.put('k', new Uint8Array([0xff, 0xfe]))
  expect((await rejection(client.get('k'))).code).toBe('not-text')
  expect(await client.getBytes('k')).toEqual(new Uint8Array([0xff, 0xfe]))
  const entry = await client.getEntry('k')
  expect(() => entry!.text()).toThrow(KvError)
})

test('an empty value is not an absent one, and a byte order mark survives', async () => {
  await client.put('k', '')
  expect(await client.get('k')).toBe('')
  await client.put('k', '\ufeffx')
  expect(await client.get('k')).toBe('\ufeffx')
})

test('keys that are names of object properties are keys like any other', async () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
  for (const name of names) await client.put(name, `value of ${name}`)
  const values = await client.getMany(names)
  expect([...values]).toEqual(names.map((name) => [name, `value of ${name}`]))
})

test('what the caller does to its bytes after a put changes nothing', async () => {
  const key = new Uint8Array([1, 2])
  const value = new Uint8Array([3, 4])
  const put = client.put(key, value)
  key.fill(9)
  value.fill(9)
  await put
  expect(await client.getBytes(new Uint8Array([1, 2]))).toEqual(new Uint8Array([3, 4]))
})

test.each([
  ['an empty key', () => client.put('', 'v'), 'key'],
  ['a key of 1,025 bytes', () => client.put('k'.repeat(1025), 'v'), 'key'],
  ['a key of 1,025 bytes in two-byte characters', () => client.get(`${'é'.repeat(512)}k`), 'key'],
  ['a value of 1 MiB and a byte', () => client.put('k', new Uint8Array(limits.valueBytesMax + 1)), 'value'],
  ['a text of 1 MiB and a byte', () => client.put('k', 'v'.repeat(limits.valueBytesMax + 1)), 'value'],
  ['a lone surrogate in a key', () => client.delete('a\ud800b'), 'key'],
  ['a lone surrogate in a value', () => client.put('k', '\udc00'), 'value'],
  ['a key that is a number', () => client.get(7 as never), 'key'],
  ['a value that is null', () => client.put('k', null as never), 'value'],
  ['a time to live of 0', () => client.put('k', 'v', { ttlMs: 0 }), 'ttlMs'],
  ['a broken time to live', () => client.put('k', 'v', { ttlMs: 1.5 }), 'ttlMs'],
  ['a time to live over the limit', () => client.put('k', 'v', { ttlMs: limits.ttlMsMax + 1 }), 'ttlMs'],
  ['a time to live that is no number', () => client.put('k', 'v', { ttlMs: '5' as never }), 'ttlMs'],
  ['an unknown consistency', () => client.get('k', { consistency: 'most' as never }), 'consistency'],
  ['a timeout of 0', () => client.get('k', { timeoutMs: 0 }), 'timeoutMs'],
  ['a timeout that is not finite', () => client.get('k', { timeoutMs: Number.POSITIVE_INFINITY }), 'timeoutMs'],
  ['a timeout that is not a number', () => client.get('k', { timeoutMs: Number.NaN }), 'timeoutMs'],
  ['a signal that is none', () => client.get('k', { signal: {} as never }), 'signal'],
  ['a malformed endpoint', () => client.status('nowhere'), 'endpoint'],
  ['keys that are no list', () => client.getMany('abc' as never), 'keys'],
  ['entries that are no list', () => client.putMany({} as never), 'entries'],
])('%s is refused with its field, and nothing is sent', async (_what, call, field) => {
  const error = await rejection(call())
  expect(error.code).toBe('invalid-argument')
  expect(error.field).toBe(field)
  expect(error.outcome).toBe('not-applied')
  expect(error.retryable).toBe(false)
  expect(sentOperations()).toBe(0)
})

test('keys and values of exactly the largest size, and the longest time to live, are accepted', async () => {
  const key = 'é'.repeat(512)
  const value = Buffer.alloc(limits.valueBytesMax, 7)
  await client.put(key, value, { ttlMs: limits.ttlMsMax })
  expect(Buffer.compare((await client.getBytes(key))!, value)).toBe(0)
})

test('operations of one turn leave in few messages, and each gets its own result', async () => {
  await client.ready()
  const before = cluster.nodes.reduce((sum, { received }) => sum + received.length, 0)
  const keys = Array.from({ length: 600 }, (_, i) => `key-${i}`)
  await Promise.all(keys.map((key) => client.put(key, `value of ${key}`)))
  const values = await Promise.all(keys.map((key) => client.get(key)))
  expect(values).toEqual(keys.map((key) => `value of ${key}`))
  const messages = cluster.nodes.reduce((sum, { received }) => sum + received.length, 0) - before
  // One message of puts and one of gets for each node, and some slack for connections that stand at different times.
  expect(messages).toBeLessThanOrEqual(12)
})

test('a message stays below its size limit however much waits', async () => {
  await client.ready()
  const value = Buffer.alloc(700_000)
  await Promise.all(Array.from({ length: 12 }, (_, i) => client.put(`k${i}`, value)))
  for (const node of cluster.nodes) {
    for (const { operations } of node.received) expect(operations.length).toBeLessThanOrEqual(1)
  }
})

test('many keys are read at once: each key once, absent ones left out, bytes found by the same object', async () => {
  const bytes = new Uint8Array([1])
  await client.put('a', 'A')
  await client.put(bytes, 'B')
  const before = sentOperations()
  const values = await client.getMany<string | Uint8Array>(['a', bytes, 'absent', 'a'])
  expect([...values]).toEqual([
    ['a', 'A'],
    [bytes, 'B'],
  ])
  expect(sentOperations() - before).toBe(3)
  const entries = await client.getManyEntries(['a', 'absent'])
  expect([...entries.keys()]).toEqual(['a'])
  expect(entries.get('a')!.text()).toBe('A')
})

test('many keys are read and written in one round: a message to each node, with the keys that it owns', async () => {
  await client.ready()
  const keys = Array.from({ length: 300 }, (_, i) => `key:${i}`)
  const rounds: [name: string, run: () => Promise<unknown>][] = [
    ['put', () => client.putMany(keys.map((key) => [key, 'v'] as const))],
    ['get', () => client.getMany(keys)],
  ]
  for (const [name, run] of rounds) {
    for (const node of cluster.nodes) node.received.length = 0
    await run()
    expect(cluster.nodes.map(({ received }) => received.length)).toEqual([1, 1, 1])
    for (const node of cluster.nodes) {
      for (const { request } of node.operations) {
        expect(request!.$case).toBe(name)
        expect(cluster.ownerOf(String(request!.value.key))).toBe(node)
      }
    }
    expect(sentOperations()).toBe(300)
  }
})

test('one key that cannot be read fails a read of many', async () => {
  await client.put('text', 'A')
  await client.put('bytes', new Uint8Array([0xff]))
  expect((await rejection(client.getMany(['text', 'bytes']))).code).toBe('not-text')
  expect((await client.getManyEntries(['text', 'bytes'])).size).toBe(2)
})

test('many entries are put each for itself, and the outcomes come in their order', async () => {
  const outcomes = await client.putMany([
    ['a', '1'],
    { key: '', value: '2' },
    { key: 'c', value: '3', ttlMs: 1000 },
    ['d', '\ud800'],
    null as never,
  ])
  expect(outcomes.map(({ ok }) => ok)).toEqual([true, false, true, false, false])
  expect(outcomes.map((outcome) => (outcome.ok ? undefined : outcome.error.field))).toEqual([
    undefined,
    'key',
    undefined,
    'value',
    'entries',
  ])
  expect(await client.get('a')).toBe('1')
  expect((await client.getEntry('c'))!.expiresAt).toBeInstanceOf(Date)
})

test('of two entries with the same key the later one wins', async () => {
  const entries = Array.from({ length: 20 }, (_, i) => ['same', `value ${i}`] as const)
  await client.putMany(entries)
  expect(await client.get('same')).toBe('value 19')
  // Each waits for the one before: no message holds two of them.
  for (const node of cluster.nodes) for (const { operations } of node.received) expect(operations.length).toBe(1)
})

test('many entries that together pass the bound on bytes are sent in turns', async () => {
  const small = new KvClient({ endpoints: cluster.endpoints, maxInFlightBytes: 2_097_152 })
  const value = Buffer.alloc(500_000)
  const outcomes = await small.putMany(Array.from({ length: 20 }, (_, i) => [`k${i}`, value] as const))
  expect(outcomes.every(({ ok }) => ok)).toBe(true)
  await small.close()
})

test('more operations than may wait are overloaded at once and certainly not applied', async () => {
  const small = new KvClient({ endpoints: cluster.endpoints, maxInFlight: 2 })
  const first = [small.put('a', '1'), small.put('b', '2')]
  const error = await rejection(small.put('c', '3'))
  expect([error.code, error.outcome, error.retryable]).toEqual(['overloaded', 'not-applied', true])
  await Promise.all(first)
  await small.put('c', '3')
  await small.close()
})

test('who asks again as soon as he has been refused does not keep the answers out', async () => {
  const small = new KvClient({ endpoints: cluster.endpoints, maxInFlight: 1 })
  await small.put('a', '1')
  const first = small.put('a', '2')
  let refused = 0
  const insistent = async (): Promise<void> => {
    for (; refused < 100_000; refused++) {
      const done = await small.put('b', '3').then(
        () => true,
        () => false,
      )
      if (done) return
    }
    throw new Error('still refused')
  }
  await Promise.all([first, insistent()])
  expect(refused).toBeGreaterThan(0)
  await small.close()
})

test('a refusal has no stack, and takes none from other errors', async () => {
  const small = new KvClient({ endpoints: cluster.endpoints, maxInFlight: 1 })
  const first = small.put('a', '1')
  expect((await rejection(small.put('b', '2'))).stack).not.toMatch(/^ +at /m)
  expect(new Error('other').stack).toMatch(/^ +at /m)
  await first
  await small.close()
})

test('more bytes than may wait are overloaded likewise', async () => {
  const small = new KvClient({ endpoints: cluster.endpoints, maxInFlightBytes: 2_097_152 })
  const value = Buffer.alloc(limits.valueBytesMax)
  const first = small.put('a', value)
  expect((await rejection(small.put('b', value))).code).toBe('overloaded')
  await first
  await small.put('b', value)
  await small.close()
})

test('the highest clock that was seen in any reply goes out with the next message', async () => {
  await client.ready()
  await client.put('a', '1')
  const seen = cluster.hlc
  await client.get('a')
  const last = cluster.ownerOf('a').received.at(-1)!
  expect(last.observedHlc).toBe(seen)
})

test('the consistency of the call, else of the client, else none is sent', async () => {
  await client.get('a')
  await client.get('a', { consistency: 'one' })
  const strict = new KvClient({ endpoints: cluster.endpoints, consistency: 'all' })
  await strict.get('a')
  await strict.get('a', { consistency: 'quorum' })
  await strict.close()
  const sent = cluster.nodes.flatMap(({ operations }) => operations.map(({ request }) => request!.value.consistency))
  expect(sent.sort()).toEqual([0, 1, 2, 3])
})

test('the status names the members, of any node or of the one that was asked for', async () => {
  expect((await client.status()).members.map(({ id }) => id)).toEqual(['node-1', 'node-2', 'node-3'])
  const status = await client.status(cluster.nodes[1]!.address)
  expect(status.nodeId).toBe('node-2')
  expect(status.epoch).toBe(1)
  expect(status.replication).toEqual({ replicationFactor: 3, readQuorum: 2, writeQuorum: 2 })
  expect(status.members[0]).toMatchObject({ number: 1, liveness: 'alive', state: 'serving' })
})

test('the status of all has an error for the member that is dead', async () => {
  await client.ready()
  cluster.nodes[2]!.kill()
  const all = await client.statusAll({ timeoutMs: 1000 })
  expect(all.map(({ ok }) => ok)).toEqual([true, true, false])
  expect(all.map(({ id }) => id)).toEqual(['node-1', 'node-2', 'node-3'])
})

test('a key has a hash, a slot and owners in order', async () => {
  const partition = await client.partition('user:1')
  const slot = cluster.slotOf('user:1')
  expect(partition.slot).toBe(slot)
  expect(partition.hash >>> 20).toBe(slot)
  expect(partition.owners.map(({ address }) => address)).toEqual(
    [0, 1, 2].map((rank) => cluster.ownerOf('user:1', rank).address),
  )
  const topology = await client.topology()
  expect(topology.owners(slot)).toEqual(partition.owners)
  expect(topology.owners(4096)).toEqual([])
  expect(topology.slots).toBe(4096)
})

test('the counters count', async () => {
  await client.put('a', '1')
  await rejection(client.get('a', { signal: AbortSignal.abort() }))
  const pending = client.get('a')
  expect(client.stats()).toMatchObject({ operations: 2, pending: 1, failed: 0 })
  await pending
  expect(client.stats()).toMatchObject({ operations: 2, pending: 0, failed: 0, retries: 0 })
  expect(client.stats().nodes).toHaveLength(3)
})
