import { status } from '@grpc/grpc-js'
import { afterEach, expect, test, vi } from 'vitest'
import { KvClient, type KvError } from '../index.js'
import { limits } from '../limits.js'
import { client, cluster, startThreeNodes } from '../three-nodes.test-support.js'
import { errorResult, type FakeNode } from './fake-server.test-support.js'
import { rejection, startMuteServer, until } from './sockets.test-support.js'

startThreeNodes()

afterEach(() => {
  vi.restoreAllMocks()
})

const everywhere = (change: (node: FakeNode) => void): void => {
  for (const node of cluster.nodes) change(node)
}

const attempts = (): number => cluster.nodes.reduce((sum, { operations }) => sum + operations.length, 0)

test('what is in flight on a node that is killed is done by another owner, without an error', async () => {
  await client.ready()
  const [victim] = cluster.nodes
  victim!.fault = () => 'silence'
  const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`)
  const puts = keys.map((key) => client.put(key, 'v'))
  await until(() => victim!.operations.length > 20, 'operations are in flight on the victim')
  victim!.kill()
  await Promise.all(puts)
  expect(cluster.data.size).toBe(200)
  expect(client.stats().retries).toBe(victim!.operations.length)
})

test('a node that ends its session in good order costs no error', async () => {
  await client.ready()
  await client.put('a', '1')
  everywhere((node) => node.endSessions())
  const keys = Array.from({ length: 30 }, (_, i) => `key-${i}`)
  await Promise.all(keys.map((key) => client.put(key, 'v')))
})

test('a node that stops answering is noticed long before the deadline, and others take over', async () => {
  await client.ready()
  const node = cluster.nodes[0]!
  node.hung = true
  const startedAt = performance.now()
  await client.put(cluster.keyOf(node), 'v', { timeoutMs: 4000 })
  expect(performance.now() - startedAt).toBeLessThan(2500)
  // From now on it is avoided.
  const again = performance.now()
  await client.put(cluster.keyOf(node), 'w')
  expect(performance.now() - again).toBeLessThan(300)
})

test('a node that is slow with one operation but alive keeps its session', async () => {
  await client.ready()
  const node = cluster.nodes[0]!
  const key = cluster.keyOf(node)
  await client.put(key, 'v')
  node.fault = () => 'silence'
  const error = await rejection(client.put(key, 'w', { timeoutMs: 1500 }))
  expect([error.code, error.outcome]).toEqual(['timeout', 'unknown'])
  expect(node.statusCalls).toBeGreaterThan(0)
  expect(node.sessions).toBe(1)
  expect(node.operations).toHaveLength(2)
})

test('a server that takes connections and says nothing does not hold up the others', async () => {
  const mute = await startMuteServer()
  const mixed = new KvClient({ endpoints: [mute.address, cluster.endpoints[0]!], connectTimeoutMs: 200 })
  await Promise.all(Array.from({ length: 20 }, (_, i) => mixed.put(`key-${i}`, 'v', { timeoutMs: 2000 })))
  await mixed.close()
  mute.stop()
})

test('sockets to a mute server do not pile up', async () => {
  const mute = await startMuteServer()
  const alone = new KvClient({ endpoints: [mute.address], connectTimeoutMs: 50 })
  const error = await rejection(alone.get('k', { timeoutMs: 1000 }))
  expect(error.code).toBe('timeout')
  expect(mute.sockets.size).toBeLessThanOrEqual(2)
  await alone.close()
  await until(() => mute.sockets.size === 0, 'all sockets are closed')
  mute.stop()
})

test('where no node can be reached a write times out and is certainly not applied', async () => {
  cluster.stop()
  const error = await rejection(client.put('k', 'v', { timeoutMs: 300 }))
  expect([error.code, error.outcome, error.retryable]).toEqual(['timeout', 'not-applied', true])
  expect((error.cause as KvError).code).toBe('unavailable')
  expect(error.message).toContain('ECONNREFUSED')
})

test('an operation waits for a node that comes up within its deadline', async () => {
  cluster.stop()
  const put = client.put('k', 'v', { timeoutMs: 5000 })
  await until(() => client.stats().nodes.some(({ state }) => state === 'down'), 'the nodes are known to be down')
  for (const node of cluster.nodes) await node.listen()
  await put
  expect(cluster.data.size).toBe(1)
})

test('an operation that waits for a node does not sleep on when one has come up', async () => {
  // The longest pauses there are.
  vi.spyOn(Math, 'random').mockReturnValue(0.999)
  cluster.stop()
  const put = client.put('k', 'v', { timeoutMs: 10_000 })
  await new Promise((resolve) => setTimeout(resolve, 1200))
  for (const node of cluster.nodes) await node.listen()
  await until(() => client.stats().nodes.some(({ state }) => state === 'up'), 'a node is up', 4000)
  const upAt = performance.now()
  await put
  expect(performance.now() - upAt).toBeLessThan(150)
})

test('a put whose answer is lost has an unknown outcome', async () => {
  await client.ready()
  everywhere((node) => {
    node.losesAnswer = () => true
  })
  const error = await rejection(client.put('k', 'v', { timeoutMs: 300 }))
  expect([error.code, error.outcome]).toEqual(['timeout', 'unknown'])
  expect(cluster.data.has('k')).toBe(true)
})

test('once an attempt may have been applied, no later refusal makes the outcome certain', async () => {
  await client.ready()
  let first = true
  everywhere((node) => {
    node.fault = () => {
      if (!first) return errorResult('UNAVAILABLE', 'NOT_APPLIED')
      first = false
      return 'break'
    }
  })
  const error = await rejection(client.put('k', 'v', { timeoutMs: 300 }))
  expect([error.code, error.outcome]).toEqual(['timeout', 'unknown'])
  expect(attempts()).toBeGreaterThan(2)
})

test('repetitions stay above the attempt of unknown fate, and refused ones do not push them further', async () => {
  await client.ready()
  await client.put('k', 'before')
  const seen: { aboveMs: number; limitMs: number }[] = []
  everywhere((node) => {
    node.fault = ({ stampAboveMs, stampLimitMs }) => {
      seen.push({ aboveMs: Number(stampAboveMs), limitMs: Number(stampLimitMs) })
      if (seen.length === 1) return 'break'
      return seen.length < 8 ? errorResult('UNAVAILABLE', 'NOT_APPLIED') : undefined
    }
  })
  await client.put('k', 'v')
  expect(seen).toHaveLength(8)
  const [first, ...repetitions] = seen
  expect(first!.aboveMs).toBe(0)
  // Otherwise a few quick refusals would put the write ahead of what the nodes accept as drift.
  for (const { aboveMs, limitMs } of repetitions) {
    expect(aboveMs).toBe(first!.limitMs)
    expect(limitMs).toBe(aboveMs + limits.stampWindowMs)
  }
})

test('where every attempt was certainly not applied, so is the write', async () => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => errorResult('UNAVAILABLE', 'NOT_APPLIED')
  })
  // An attempt in flight at the deadline would be unknown, and rightly: fixed pauses put the last one well before it.
  vi.spyOn(Math, 'random').mockReturnValue(0.9)
  const error = await rejection(client.put('k', 'v', { timeoutMs: 450 }))
  expect([error.code, error.outcome]).toEqual(['timeout', 'not-applied'])
  expect((error.cause as KvError).code).toBe('unavailable')
})

test("a node's own timeout is passed on with what it says about the outcome", async () => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => errorResult('TIMEOUT', 'NOT_APPLIED')
  })
  const error = await rejection(client.put('k', 'v'))
  expect([error.code, error.outcome]).toEqual(['timeout', 'not-applied'])
  expect(attempts()).toBe(1)
})

test('a node is given a little less time than is left', async () => {
  await client.get('k', { timeoutMs: 1000 })
  const [operation] = cluster.nodes.flatMap(({ operations }) => operations)
  expect(operation!.timeoutMs).toBeLessThanOrEqual(950)
  expect(operation!.timeoutMs).toBeGreaterThan(500)
})

test('an overloaded node gets a pause', async () => {
  await client.ready()
  let refusals = 3
  everywhere((node) => {
    node.fault = () => (refusals-- > 0 ? errorResult('OVERLOADED', 'NOT_APPLIED') : undefined)
  })
  await client.put('k', 'v')
  expect(attempts()).toBe(4)
})

test('what was refused for as long as it had time is overloaded, and not late', async () => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => errorResult('OVERLOADED', 'NOT_APPLIED')
  })
  const error = await rejection(client.put('k', 'v', { timeoutMs: 300 }))
  expect([error.code, error.outcome, error.retryable]).toEqual(['overloaded', 'not-applied', true])
  expect(attempts()).toBeGreaterThan(1)
})

test.each([
  ['INVALID_ARGUMENT', 'invalid-argument'],
  ['READ_ONLY', 'read-only'],
  ['UNAUTHENTICATED', 'unauthenticated'],
  ['PERMISSION_DENIED', 'permission-denied'],
  ['INTERNAL', 'internal'],
] as const)('%s is not tried again', async (wireCode, code) => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => errorResult(wireCode, 'NOT_APPLIED', 'key')
  })
  const error = await rejection(client.put('k', 'v'))
  expect([error.code, error.outcome, error.retryable]).toEqual([code, 'not-applied', false])
  expect(error.field).toBe('key')
  expect(error.node).toBe(cluster.ownerOf('k').address)
  expect(attempts()).toBe(1)
})

test('a read that fails has no outcome', async () => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => errorResult('READ_ONLY', 'UNSPECIFIED')
  })
  expect((await rejection(client.get('k'))).outcome).toBeUndefined()
})

test('an error of a node that says nothing about the outcome is taken for unknown', async () => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => errorResult('INTERNAL', 'UNSPECIFIED')
  })
  expect((await rejection(client.delete('k'))).outcome).toBe('unknown')
})

test('a put that asks for the previous value is not repeated once it may have been applied', async () => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => 'break'
  })
  const error = await rejection(client.put('k', 'v', { returnPrevious: true }))
  expect([error.code, error.outcome, error.retryable]).toEqual(['unavailable', 'unknown', false])
  expect(attempts()).toBe(1)
})

test('a put that asks for the previous value is repeated where it was certainly not applied', async () => {
  await client.ready()
  await client.put('k', 'old')
  let refused = false
  everywhere((node) => {
    node.fault = () => {
      if (refused) return undefined
      refused = true
      return errorResult('UNAVAILABLE', 'NOT_APPLIED')
    }
  })
  expect((await client.put('k', 'new', { returnPrevious: true })).previous!.text()).toBe('old')
})

test.each([
  ['unless it was certainly not applied before', errorResult('UNAVAILABLE', 'NOT_APPLIED'), true, false],
  ['where the first attempt may have removed it', errorResult('UNAVAILABLE', 'UNKNOWN'), true, undefined],
  ['but what the last one did find was there', errorResult('UNAVAILABLE', 'UNKNOWN'), false, true],
])('whether a repeated delete found anything is not known, %s', async (_, first, absent, existed) => {
  await client.ready()
  if (!absent) await client.put('k', 'v')
  let failed = false
  everywhere((node) => {
    node.fault = () => {
      if (failed) return undefined
      failed = true
      return first
    }
  })
  expect((await client.delete('k')).existed).toBe(existed)
  expect(client.stats().retries).toBe(1)
})

test('that it is not known what a write replaced is told to its caller', async () => {
  await client.ready()
  const version = { hlc: 1n, node: 1 }
  everywhere((node) => {
    node.fault = ({ request }) =>
      request?.$case === 'delete'
        ? { $case: 'delete', value: { version, acks: 2, existed: false, existedUnknown: true } }
        : {
            $case: 'put',
            value: { version, acks: 2, hadPrevious: false, previousValue: Buffer.alloc(0), previousUnknown: true },
          }
  })
  const put = await client.put('k', 'v', { returnPrevious: true })
  expect([put.previousKnown, put.previous]).toEqual([false, undefined])
  expect((await client.delete('k')).existed).toBeUndefined()
})

test('an answer of the wrong kind is an internal error', async () => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => ({
      $case: 'delete',
      value: { version: undefined, acks: 0, existed: false, existedUnknown: false },
    })
  })
  const error = await rejection(client.put('k', 'v'))
  expect([error.code, error.outcome]).toEqual(['internal', 'unknown'])
})

test('a node that wants to know who is calling fails the operation, certainly not applied, at once', async () => {
  everywhere((node) => {
    node.refuseSessions = { code: status.UNAUTHENTICATED, details: 'who are you' }
  })
  const error = await rejection(client.put('k', 'v'))
  expect([error.code, error.outcome]).toEqual(['unauthenticated', 'not-applied'])
})

test('a call beside a session that is turned away says why, and not that its connection was lost', async () => {
  everywhere((node) => {
    node.hung = true
    node.refuseSessions = { code: status.UNAUTHENTICATED, details: 'who are you' }
  })
  const error = await rejection(client.snapshot(cluster.nodes[0]!.address))
  expect(error).toMatchObject({ code: 'unauthenticated', retryable: false, outcome: undefined })
  expect(error.message).toContain('who are you')
})

test('while a node does not read, what waits for it stays here, bounded and certainly not applied', async () => {
  const [node] = cluster.nodes.splice(0, 1)
  const alone = new KvClient({ endpoints: [node!.address] })
  node!.cluster.ownersPerSlot = 1
  node!.readsNothing = true
  const value = Buffer.alloc(1_000_000)
  const puts = Array.from({ length: 60 }, (_, i) => rejection(alone.put(`key-${i}`, value, { timeoutMs: 1200 })))
  const outcomes = (await Promise.all(puts)).map(({ code, outcome }) => `${code} ${outcome}`)
  expect(alone.stats().messagesSent).toBeLessThan(40)
  expect(outcomes.filter((outcome) => outcome === 'timeout not-applied').length).toBeGreaterThan(20)
  expect(outcomes.filter((outcome) => outcome === 'timeout unknown').length).toBe(alone.stats().messagesSent)
  await alone.close()
  node!.kill()
})

test('when a node reads again, what has waited for it goes out', async () => {
  const [node] = cluster.nodes.splice(0, 1)
  const alone = new KvClient({ endpoints: [node!.address] })
  node!.cluster.ownersPerSlot = 1
  node!.readsNothing = true
  const value = Buffer.alloc(1_000_000)
  const puts = Array.from({ length: 50 }, (_, i) => alone.put(`key-${i}`, value, { timeoutMs: 25_000 }))
  await until(() => alone.stats().messagesSent > 0, 'the stream has taken what it takes')
  node!.readAgain()
  await Promise.all(puts)
  expect(alone.stats()).toMatchObject({ messagesSent: 50, retries: 0 })
  await alone.close()
  node!.kill()
})

test('a node whose answers cannot be read is left for another one', async () => {
  await client.ready()
  const node = cluster.nodes[0]!
  node.babbles = true
  const key = cluster.keyOf(node)
  await client.put(key, 'v')
  expect(cluster.ownerOf(key, 1).operations).toHaveLength(1)
})

test('where nodes refuse everything, repetitions stay within their budget', async () => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => errorResult('OVERLOADED', 'NOT_APPLIED')
  })
  const count = 4000
  const startedAt = performance.now()
  const elapsedMs = (): number => performance.now() - startedAt
  // None ends by its own deadline: on a busy machine many would, before their first attempt.
  const gets = Array.from({ length: count }, (_, i) => rejection(client.get(`key-${i}`, { timeoutMs: 120_000 })))
  // All have been tried, the burst is used up, and there was time for more.
  const spent = (): boolean => attempts() >= count + limits.retryTokensMax && elapsedMs() > 1000
  await until(spent, 'the burst of repetitions is used up', 60_000)
  const seen = attempts()
  const seconds = elapsedMs() / 1000
  const budget = limits.retryTokensMax + count * limits.retryTokensPerOperation + seconds * limits.retryTokensPerSecond
  expect(seen).toBeLessThanOrEqual(count + Math.ceil(budget))
  await client.close()
  // Who could not be asked for again was told so, long before the time was over.
  const told = (await Promise.all(gets)).filter(({ code }) => code === 'overloaded')
  expect(told.length).toBeGreaterThan(count / 2)
}, 90_000)
