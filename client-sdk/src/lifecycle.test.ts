import { afterEach, beforeEach, expect, test } from 'vitest'
import { KvClient } from './index.js'
import { FakeCluster } from './session/fake-server.test-support.js'
import { rejection, startMuteServer, until } from './session/sockets.test-support.js'

let cluster: FakeCluster

beforeEach(async () => {
  cluster = await FakeCluster.start(3)
})

afterEach(() => cluster.stop())

/** How many resources of a kind keep this process alive. */
const alive = (kind: 'Timeout' | 'TCPSocketWrap'): number =>
  process.getActiveResourcesInfo().filter((name) => name === kind).length

test('a new client connects to nothing', async () => {
  const timers = alive('Timeout')
  const client = new KvClient({ endpoints: cluster.endpoints })
  expect([alive('Timeout'), alive('TCPSocketWrap')]).toEqual([timers, 0])
  await client.close()
  expect(cluster.nodes.every(({ sessions }) => sessions === 0)).toBe(true)
})

test('ready waits until a majority of the members answers', async () => {
  const [first, second, third] = cluster.nodes
  second!.kill()
  third!.kill()
  const client = new KvClient([first!.address])
  const failed = await rejection(client.ready({ timeoutMs: 1000 }))
  expect(failed.code).toBe('timeout')
  expect(failed.message).toContain('1 of 3 members')
  const ready = client.ready({ timeoutMs: 5000 })
  await second!.listen()
  await ready
  await client.close()
})

test('ready waits for a cluster that is being formed', async () => {
  const topology = cluster.topology.bind(cluster)
  let founded = false
  cluster.topology = () => (founded ? topology() : { ...topology(), epoch: 0n, members: [] })
  const client = new KvClient(cluster.endpoints)
  const ready = client.ready()
  setTimeout(() => {
    founded = true
  }, 50)
  await ready
  expect(client.stats().epoch).toBe(1)
  await client.close()
})

test('close rejects what runs, with what is known about it, and everything that comes later', async () => {
  const client = new KvClient({ endpoints: cluster.endpoints })
  await client.ready()
  for (const node of cluster.nodes) node.fault = () => 'silence'
  const sent = client.put('sent', 'v')
  await until(() => cluster.nodes.some(({ operations }) => operations.length > 0), 'the put has arrived')
  const queued = client.put('queued', 'v')
  const read = client.get('k')
  const startedAt = performance.now()
  await client.close()
  expect(performance.now() - startedAt).toBeLessThan(100)
  const errors = await Promise.all([sent, queued, read].map(rejection))
  expect(errors.map(({ code, outcome }) => [code, outcome])).toEqual([
    ['closed', 'unknown'],
    ['closed', 'not-applied'],
    ['closed', undefined],
  ])
  const later = [
    client.put('k', 'v'),
    client.get('k'),
    client.getEntry('k'),
    client.delete('k'),
    client.getMany(['k']),
    client.ready(),
    client.status(),
    client.status(cluster.endpoints[0]),
    client.statusAll(),
    client.topology(),
    client.partition('k'),
  ]
  const codes = (await Promise.all(later.map((call) => rejection(call)))).map(({ code }) => code)
  expect(codes).toEqual(later.map(() => 'closed'))
  expect(await client.putMany([['k', 'v']])).toMatchObject([{ ok: false, error: { code: 'closed' } }])
})

test('close ends calls that look at the cluster', async () => {
  for (const node of cluster.nodes) node.hung = true
  const client = new KvClient({ endpoints: cluster.endpoints })
  const calls = [client.ready(), client.status(), client.topology(), client.status(cluster.endpoints[1])]
  await until(() => cluster.nodes.some(({ topologyCalls }) => topologyCalls > 0), 'the calls are on their way')
  await client.close()
  for (const call of calls) expect((await rejection(call)).code).toBe('closed')
})

test('close may be called again, and the client is disposable', async () => {
  let kept: KvClient
  {
    await using client = new KvClient({ endpoints: cluster.endpoints })
    await client.put('k', 'v')
    kept = client
  }
  await kept.close()
  await kept.close()
  expect((await rejection(kept.get('k'))).code).toBe('closed')
})

test('after close nothing keeps the process alive', async () => {
  const mute = await startMuteServer()
  const timers = alive('Timeout')
  const client = new KvClient({ endpoints: [...cluster.endpoints, mute.address], connectTimeoutMs: 60_000 })
  await client.ready()
  await client.put('k', 'v')
  // Caught in the middle of connecting, and with operations that were just answered or are on their way.
  const connecting = client.status(mute.address)
  const others = Promise.allSettled([client.get('k'), client.ready(), client.put('k', 'w')])
  await until(() => mute.sockets.size > 0, 'a connection to the mute server is on its way')
  await client.close()
  expect((await rejection(connecting)).code).toBe('closed')
  await others
  await until(() => alive('TCPSocketWrap') === 0, 'no socket is left')
  await until(() => alive('Timeout') <= timers, 'no timer is left')
  mute.stop()
})

test('close lets go of a node that does not let go: a server that stopped in the middle', async () => {
  const mute = await startMuteServer()
  const client = new KvClient({ endpoints: [mute.address], connectTimeoutMs: 60_000 })
  const get = client.get('k')
  await until(() => mute.sockets.size > 0, 'the connection stands')
  await client.close()
  expect((await rejection(get)).code).toBe('closed')
  await until(() => mute.sockets.size === 0, 'the client has closed its side')
  mute.stop()
})
