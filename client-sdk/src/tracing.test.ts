import { tracingChannel } from 'node:diagnostics_channel'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type BatchTrace, type CommandTrace, type ConnectTrace, json, KvClient } from './index.js'
import { errorResult, FakeCluster } from './session/fake-server.test-support.js'
import { rejection, until } from './session/sockets.test-support.js'

type Told<T> = readonly [event: string, trace: T]

let cluster: FakeCluster
let client: KvClient
let stop: () => void = () => undefined

beforeEach(async () => {
  cluster = await FakeCluster.start(3)
  client = new KvClient({ endpoints: cluster.endpoints })
})

afterEach(async () => {
  stop()
  stop = () => undefined
  await client.close()
  cluster.stop()
})

/** Notes what a channel tells, until the test is over. */
function listen<T extends object>(name: string): Told<T>[] {
  const told: Told<T>[] = []
  const channel = tracingChannel<unknown, T>(name)
  const note = (event: string) => (trace: T) => {
    told.push([event, trace])
  }
  const subscribers = {
    start: note('start'),
    end: note('end'),
    asyncStart: note('asyncStart'),
    asyncEnd: note('asyncEnd'),
    error: note('error'),
  }
  channel.subscribe(subscribers)
  const before = stop
  stop = () => {
    before()
    channel.unsubscribe(subscribers)
  }
  return told
}

const eventsOf = <T>(told: readonly Told<T>[], trace: T): string[] =>
  told.filter(([, other]) => other === trace).map(([event]) => event)

test('an operation is told from its start to its end, with its node and its result', async () => {
  const told = listen<CommandTrace>('kv:command')
  await client.ready()
  const putting = client.put('k', 'v')
  expect(told.map(([event]) => event)).toEqual(['start', 'end'])
  const { version } = await putting
  const [, trace] = told[0]!
  expect(eventsOf(told, trace)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
  expect(trace.client).toBe(client)
  expect(trace).toMatchObject({ operation: 'put', key: 'k', batch: undefined, attempts: 1, result: { version } })
  expect(trace.node).toBe(cluster.ownerOf('k').address)
  expect('error' in trace).toBe(false)
  await client.get('k')
  await client.delete('k')
  expect(told.filter(([event]) => event === 'start').map(([, { operation }]) => operation)).toEqual([
    'put',
    'get',
    'delete',
  ])
})

test('a failed operation tells its error and its attempts, and wrong arguments none', async () => {
  await client.ready()
  const told = listen<CommandTrace>('kv:command')
  for (const node of cluster.nodes) node.fault = () => errorResult('UNAVAILABLE', 'NOT_APPLIED')
  const error = await rejection(client.put('k', 'v', { timeoutMs: 200 }))
  const [, trace] = told[0]!
  expect(eventsOf(told, trace)).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
  expect(trace.error).toBe(error)
  expect(trace.attempts).toBeGreaterThan(1)
  const refused = await rejection(client.get(''))
  expect(told.at(-1)![1]).toMatchObject({ error: refused, node: undefined, attempts: 0 })
})

test('a batch is told as one, and its operations name it', async () => {
  const batches = listen<BatchTrace>('kv:batch')
  const commands = listen<CommandTrace>('kv:command')
  const outcomes = await client.putMany([
    ['a', '1'],
    ['b', '2'],
  ])
  const [, trace] = batches[0]!
  expect(eventsOf(batches, trace)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
  expect(trace).toMatchObject({ operation: 'putMany', size: 2 })
  expect(trace.result).toBe(outcomes)
  await client.collection('', json<number>()).getMany(new Set(['a', 'b']))
  expect(batches.at(-1)![1]).toMatchObject({ operation: 'getMany', size: 2 })
  const starts = commands.filter(([event]) => event === 'start').map(([, command]) => command)
  expect(starts.map(({ operation, key }) => [operation, key])).toEqual([
    ['put', 'a'],
    ['put', 'b'],
    ['get', 'a'],
    ['get', 'b'],
  ])
  expect(starts.map(({ batch }) => batch?.operation)).toEqual(['putMany', 'putMany', 'getMany', 'getMany'])
  await rejection(client.getMany(7 as never))
  expect(eventsOf(batches, batches.at(-1)![1])).toContain('error')
})

test('each page of a scan is told, with the node that gave it', async () => {
  await client.putMany(['p:1', 'p:2', 'p:3'].map((key) => [key, ''] as const))
  const told = listen<CommandTrace>('kv:command')
  for await (const _ of client.scan({ prefix: 'p:', pageSize: 2 })) {
    // Reads on.
  }
  const pages = told.filter(([event]) => event === 'asyncEnd').map(([, trace]) => trace)
  expect(pages).toHaveLength(2)
  for (const page of pages) {
    expect(page).toMatchObject({
      operation: 'scan',
      attempts: 1,
      node: cluster.nodes.find((n) => n.scans.length > 0)!.address,
    })
    expect(Buffer.from(page.key as Uint8Array).toString()).toBe('p:')
  }
})

test('connections are told when they can be used, when they fail, and when they are given up', async () => {
  const told = listen<ConnectTrace>('kv:connect')
  const [first, second] = cluster.endpoints
  cluster.nodes[1]!.kill()
  await client.ready()
  const traceOf = (address: string): ConnectTrace => told.find(([, { node }]) => node === address)![1]
  expect(eventsOf(told, traceOf(first!))).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
  const failed = traceOf(second!)
  expect(eventsOf(told, failed)).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
  expect(failed.error).toMatchObject({ code: 'unavailable', node: second })
  expect(failed.client).toBe(client)
  const other = new KvClient({ endpoints: ['192.0.2.1:50051'] })
  const pending = rejection(other.get('k'))
  await until(() => told.some(([, { node }]) => node === '192.0.2.1:50051'), 'the attempt has begun')
  await other.close()
  await pending
  expect(traceOf('192.0.2.1:50051').error).toBeDefined()
  expect(eventsOf(told, traceOf('192.0.2.1:50051')).at(-1)).toBe('asyncEnd')
})

test('whoever stops listening is told nothing more', async () => {
  const told = listen<CommandTrace>('kv:command')
  await client.get('k')
  const before = told.length
  stop()
  stop = () => undefined
  await client.get('k')
  expect(told).toHaveLength(before)
})
