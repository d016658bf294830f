import { afterEach, beforeEach, expect, test } from 'vitest'
import { KvClient, KvError, type ScanEntry, type ScanOptions } from './index.js'
import { FakeCluster, type FakeNode } from './session/fake-server.test-support.js'
import { startSlowProxy, until } from './session/sockets.test-support.js'

let cluster: FakeCluster
let client: KvClient

beforeEach(async () => {
  cluster = await FakeCluster.start(3)
  client = new KvClient({ endpoints: cluster.endpoints })
  await client.putMany(Array.from({ length: 20 }, (_, i) => [nameOf(i), `value ${i}`] as const))
  await client.put('other', 'x')
})

afterEach(async () => {
  await client.close()
  cluster.stop()
})

const nameOf = (i: number): string => `user:${String(i).padStart(3, '0')}`
const names = Array.from({ length: 20 }, (_, i) => nameOf(i))

const collect = async (options: ScanOptions): Promise<ScanEntry[]> => {
  const entries: ScanEntry[] = []
  for await (const entry of client.scan(options)) entries.push(entry)
  return entries
}

const failure = async (options: ScanOptions): Promise<KvError> => {
  const error = await collect(options).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KvError)
  return error as KvError
}

const scans = (): FakeNode['scans'] => cluster.nodes.flatMap((node) => node.scans)

test('a scan gives every entry with the prefix, once', async () => {
  const entries = await collect({ prefix: 'user:' })
  expect(entries.map(({ key }) => key)).toEqual(names)
  expect(entries[7]!.value).toBe('value 7')
  expect(entries[7]!.version.toString()).toMatch(/^[0-9a-f]{24}$/)
  expect(entries[7]!.expiresAt).toBeUndefined()
  expect(await collect({})).toHaveLength(21)
  expect(await collect({ prefix: 'none' })).toEqual([])
})

test('the page size and keysOnly reach the node', async () => {
  const entries = await collect({ prefix: 'user:', pageSize: 7, keysOnly: true })
  expect(entries.map(({ valueBytes }) => valueBytes.length)).toEqual(names.map(() => 0))
  expect(scans()).toHaveLength(1)
  expect(scans()[0]).toMatchObject({ pageSize: 7, keysOnly: true })
})

test('a scan whose stream breaks goes on behind the last page, and repeats nothing', async () => {
  for (const node of cluster.nodes) node.scanPagesMax = 3
  const entries = await collect({ prefix: 'user:' })
  expect(entries.map(({ key }) => key)).toEqual(names)
  expect(scans().length).toBeGreaterThan(2)
})

test('a scan goes on with another node when its own is killed', async () => {
  const seen: string[] = []
  for await (const { key } of client.scan({ prefix: 'user:' })) {
    seen.push(key)
    if (seen.length === 5) cluster.nodes.find((node) => node.scans.length > 0)!.kill()
  }
  expect(seen).toEqual(names)
})

test('a scan goes on with another node when its own stops answering', async () => {
  const seen: string[] = []
  for await (const { key } of client.scan({ prefix: 'user:', pageSize: 1, timeoutMs: 4000 })) {
    seen.push(key)
    const node = cluster.nodes.find(({ scans: asked }) => asked.length > 0)!
    // Pages that are on their way already still arrive.
    if (seen.length === 1) node.hung = true
  }
  expect(seen).toEqual(names)
})

test('a connection that comes about after its attempt was given up gets no scan of its own', async () => {
  const [node] = cluster.nodes
  const proxy = await startSlowProxy(node!.port, 1200)
  const alone = new KvClient({ endpoints: [proxy.address], connectTimeoutMs: 5000 })
  const seen: string[] = []
  // An attempt may take a second here: the first one is given up while its connection is still on the way.
  for await (const { key } of alone.scan({ prefix: 'user:', timeoutMs: 3000 })) seen.push(key)
  expect(seen).toEqual(names)
  expect(node!.scans).toHaveLength(1)
  await alone.close()
  proxy.stop()
})

test('the cursor of an entry leads a later scan on behind it', async () => {
  const first: ScanEntry[] = []
  for await (const entry of client.scan({ prefix: 'user:', pageSize: 5 })) {
    first.push(entry)
    if (entry.cursor !== undefined && first.length === 10) break
  }
  expect(first.filter(({ cursor }) => cursor !== undefined).map(({ key }) => key)).toEqual([names[4], names[9]])
  const rest = await collect({ prefix: 'user:', cursor: first.at(-1)!.cursor })
  expect([...first, ...rest].map(({ key }) => key)).toEqual(names)
  expect(rest.at(-1)!.cursor).toBeUndefined()
})

test('a scan that is left early leaves no call behind', async () => {
  const big = 'b'.repeat(500_000)
  await client.putMany(Array.from({ length: 60 }, (_, i) => [`big:${100 + i}`, big] as const))
  for await (const _ of client.scan({ prefix: 'big:', pageSize: 1 })) break
  expect(scans()).toHaveLength(1)
  await until(() => cluster.nodes.every(({ openScans }) => openScans === 0), 'the node has seen the end of the scan')
})

test('a slow reader is not sent more than a few pages ahead', async () => {
  const big = 'b'.repeat(500_000)
  await client.putMany(Array.from({ length: 60 }, (_, i) => [`big:${100 + i}`, big] as const))
  const iterator = client.scan({ prefix: 'big:', pageSize: 1 })[Symbol.asyncIterator]()
  await iterator.next()
  const node = cluster.nodes.find(({ scans: asked }) => asked.length > 0)!
  let before = -1
  while (before !== node.pagesSent) {
    before = node.pagesSent
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  expect(node.pagesSent).toBeLessThan(40)
  await iterator.return!()
})

test('text is refused where a key or value is not UTF-8, and the bytes are there', async () => {
  const key = new Uint8Array([0x7a, 0xff])
  await client.put(key, new Uint8Array([0xfe]))
  const [entry] = await collect({ prefix: key })
  expect(() => entry!.key).toThrow(expect.objectContaining({ code: 'not-text', field: 'key' }))
  expect(() => entry!.value).toThrow(expect.objectContaining({ code: 'not-text', field: 'value' }))
  expect(entry!.keyBytes).toEqual(key)
  expect(entry!.valueBytes).toEqual(new Uint8Array([0xfe]))
})

test.each([
  [{ pageSize: 0 }, 'pageSize'],
  [{ pageSize: 4097 }, 'pageSize'],
  [{ prefix: 'p'.repeat(1025) }, 'prefix'],
  [{ prefix: '\ud800' }, 'prefix'],
  [{ cursor: '' }, 'cursor'],
  [{ cursor: 'ä' }, 'cursor'],
  [{ cursor: 'A' }, 'cursor'],
  [{ consistency: 'most' as never }, 'consistency'],
  [{ timeoutMs: 0 }, 'timeoutMs'],
  [{ signal: {} as never }, 'signal'],
])('the options %j are refused, naming %s', async (options, field) => {
  const error = await failure(options)
  expect([error.code, error.field]).toEqual(['invalid-argument', field])
})

test('a scan that no node answers times out', async () => {
  cluster.stop()
  await until(() => client.stats().nodes.every(({ state }) => state !== 'up'), 'the nodes are known to be down')
  const error = await failure({ prefix: 'user:', timeoutMs: 200 })
  expect(error.code).toBe('timeout')
  expect((error.cause as KvError).code).toBe('unavailable')
})

test('a signal ends a scan between two entries and while it waits', async () => {
  const controller = new AbortController()
  const seen: string[] = []
  const scanning = (async () => {
    for await (const { key } of client.scan({ prefix: 'user:', pageSize: 20, signal: controller.signal })) {
      seen.push(key)
      if (seen.length === 3) controller.abort()
    }
  })()
  await expect(scanning).rejects.toMatchObject({ code: 'cancelled' })
  expect(seen).toHaveLength(3)
  for (const node of cluster.nodes) node.hung = true
  const waiting = new AbortController()
  const stuck = failure({ signal: waiting.signal })
  setTimeout(() => waiting.abort(), 20)
  expect((await stuck).code).toBe('cancelled')
})

test('closing the client ends a scan', async () => {
  const scanning = (async () => {
    for await (const _ of client.scan({ prefix: 'user:' })) await client.close()
  })()
  await expect(scanning).rejects.toMatchObject({ code: 'closed' })
  expect((await failure({})).code).toBe('closed')
})
