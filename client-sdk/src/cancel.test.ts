import { expect, test } from 'vitest'
import type { FakeNode } from './session/fake-server.test-support.js'
import { rejection, until } from './session/sockets.test-support.js'
import { client, cluster, startThreeNodes } from './three-nodes.test-support.js'

startThreeNodes()

const everywhere = (change: (node: FakeNode) => void): void => {
  for (const node of cluster.nodes) change(node)
}

const attempts = (): number => cluster.nodes.reduce((sum, { operations }) => sum + operations.length, 0)

test('an operation that is cancelled before it is sent is never sent', async () => {
  await client.ready()
  const controller = new AbortController()
  const put = client.put('k', 'v', { signal: controller.signal })
  controller.abort(new Error('enough'))
  const error = await rejection(put)
  expect([error.code, error.outcome, error.retryable]).toEqual(['cancelled', 'not-applied', false])
  expect((error.cause as Error).message).toBe('enough')
  await client.get('other')
  expect(attempts()).toBe(1)
})

test('of an operation that was sent the node is told that nobody waits any more', async () => {
  await client.ready()
  everywhere((node) => {
    node.fault = () => 'silence'
  })
  const controller = new AbortController()
  const put = client.put('k', 'v', { signal: controller.signal })
  const owner = cluster.ownerOf('k')
  await until(() => owner.operations.length === 1, 'the put has arrived')
  controller.abort()
  const error = await rejection(put)
  expect([error.code, error.outcome]).toEqual(['cancelled', 'unknown'])
  const { id } = owner.operations[0]!
  await until(() => owner.received.some(({ cancelled }) => cancelled.includes(id)), 'the cancel has arrived')
})

test('a signal that has fired already ends the call before anything happens', async () => {
  const error = await rejection(client.put('k', 'v', { signal: AbortSignal.abort() }))
  expect([error.code, error.outcome]).toEqual(['cancelled', 'not-applied'])
})

test('one signal for many operations ends them all, and Node sees no leak', async () => {
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => {
    warnings.push(warning)
  }
  process.on('warning', onWarning)
  await client.ready()
  const controller = new AbortController()
  everywhere((node) => {
    node.fault = () => 'silence'
  })
  const gets = Array.from({ length: 50 }, (_, i) => client.get(`k${i}`, { signal: controller.signal }))
  controller.abort()
  for (const get of gets) expect((await rejection(get)).code).toBe('cancelled')
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', onWarning)
  expect(warnings).toEqual([])
})
