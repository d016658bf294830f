import { expect, expectTypeOf, test } from 'vitest'
import type { ClientEventMap } from './index.js'
import { until } from './session/sockets.test-support.js'
import { client, cluster, startThreeNodes } from './three-nodes.test-support.js'

startThreeNodes()

test('a node that goes is told once, and again when it is back', async () => {
  const seen: string[] = []
  client.on('nodeUp', ({ address, id }) => seen.push(`up ${id ?? address}`))
  client.on('nodeDown', ({ address, id, error }) => seen.push(`down ${id ?? address} ${error.code}`))
  await client.ready()
  await until(() => seen.length === 3, 'all nodes are up')
  const [node] = cluster.nodes
  seen.length = 0
  node!.kill()
  await until(() => seen.length > 0, 'the node is down')
  // Attempts to come back fail meanwhile, and are not told each.
  await until(() => client.stats().nodes.some(({ state }) => state === 'down'), 'it is avoided')
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(seen).toEqual(['down node-1 unavailable'])
  await node!.listen()
  await until(() => seen.length === 2, 'the node is back', 5000)
  expect(seen[1]).toBe('up node-1')
})

test('another topology is told, the same one is not', async () => {
  const epochs: number[] = []
  client.on('topology', ({ epoch, members }) => {
    expect(members).toHaveLength(3)
    epochs.push(epoch)
  })
  await client.ready()
  await client.topology()
  cluster.epoch = 5
  await client.topology()
  await until(() => epochs.length === 2, 'both are told')
  expect(epochs).toEqual([1, 5])
})

test('a listener may come for once, and may go', async () => {
  let once = 0
  let gone = 0
  const listener = (): void => {
    gone++
  }
  expect(
    client
      .once('topology', () => once++)
      .on('topology', listener)
      .off('topology', listener),
  ).toBe(client)
  await client.topology()
  cluster.epoch = 5
  await client.topology()
  await until(() => once > 0, 'it is told')
  expect([once, gone]).toEqual([1, 0])
})

test('failures that nobody listens to end nothing, and there is no event error', async () => {
  await client.ready()
  for (const node of cluster.nodes) node.kill()
  await until(() => client.stats().nodes.every(({ state }) => state !== 'up'), 'all nodes are down')
  expect(() => client.on('error' as never, () => undefined)).toThrow(
    expect.objectContaining({ code: 'invalid-argument', field: 'event' }),
  )
  expect(() => client.on('nodeUp', 7 as never)).toThrow(expect.objectContaining({ field: 'listener' }))
})

test('a listener that throws does not get into the client', async () => {
  const thrown: unknown[] = []
  const catchIt = (error: unknown): unknown => thrown.push(error)
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', catchIt)
  try {
    client.on('nodeUp', () => {
      throw new Error('from a listener')
    })
    await client.put('k', 'v')
    expect(await client.get('k')).toBe('v')
    await until(() => thrown.length > 0, 'the process was told')
  } finally {
    process.off('uncaughtException', catchIt)
    for (const other of others) process.on('uncaughtException', other)
  }
  expect((thrown[0] as Error).message).toBe('from a listener')
})

test('events have types', () => {
  client.on('nodeDown', (event) => expectTypeOf(event).toEqualTypeOf<ClientEventMap['nodeDown']>())
  // @ts-expect-error: no such event
  const wrong = (): unknown => client.on('connect', () => undefined)
  expect(wrong).toThrow('must be one of')
})
