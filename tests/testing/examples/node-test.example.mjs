// With Node's own test runner: `node --test`.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startCluster } from '@quorumkv/testing'

let cluster
let client

before(async () => {
  cluster = await startCluster({ nodes: 3 })
  client = cluster.client()
})

after(() => cluster.close())

test('a cart survives the death of any node', async () => {
  await client.put('cart:1', 'apples')
  for (const node of [0, 1, 2]) {
    await cluster.kill(node)
    assert.equal(await client.get('cart:1'), 'apples')
    await cluster.restart(node)
    await cluster.ready()
  }
})

test('a session ends after a day', async () => {
  await client.put('session:1', 'Ada', { ttlMs: 86_400_000 })
  cluster.clock.advance(86_400_000)
  assert.equal(await client.get('session:1'), undefined)
})
