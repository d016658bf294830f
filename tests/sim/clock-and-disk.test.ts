import type { KvError } from '@quorumkv/internal/base'
import { hlcMs } from '@quorumkv/internal/hlc'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

function failureOf(promise: Promise<unknown>): Promise<KvError> {
  return promise.then(
    () => {
      throw new Error('it succeeded')
    },
    (error: KvError) => error,
  )
}

async function seesAll(cluster: SimCluster, via: string): Promise<boolean> {
  const node = cluster.node(via)
  return node.topology!.members.every((member) => node.linked(member.id))
}

test('a node whose clock jumps ahead stamps nothing, and its return erases nothing', async () => {
  const cluster = await SimCluster.start({ seed: 'poison-returns' })
  await cluster.world.advance(3_000)
  await cluster.settle(cluster.put('n3', 'a', 'before'))
  cluster.process('n3').time.setSkewMs(60_000)
  expect(await failureOf(cluster.settle(cluster.put('n3', 'a', 'poison')))).toMatchObject({ outcome: 'not-applied' })
  cluster.process('n3').time.setSkewMs(0)
  for (let i = 0; i < 10; i++) await cluster.settle(cluster.put('n1', 'a', `good${i}`))
  await cluster.world.advance(90_000)
  await cluster.allConnected()
  for (const via of ['n1', 'n2', 'n3']) expect(await cluster.settle(cluster.get(via, 'a'))).toBe('good9')
})

test.each([true, false])(
  'a glitch of an hour shuts nobody out once it is over (a write tried meanwhile: %s)',
  async (write) => {
    const cluster = await SimCluster.start({ seed: `glitch ${write}` })
    await cluster.world.advance(3_000)
    cluster.process('n2').time.setSkewMs(3_600_000)
    if (write) await failureOf(cluster.settle(cluster.put('n2', 'a', 'x')))
    await cluster.world.advance(1_000)
    cluster.process('n2').time.setSkewMs(0)
    await cluster.world.advance(5_000)
    cluster.crash('n2')
    await cluster.restart('n2')
    await cluster.allConnected()
    expect(await seesAll(cluster, 'n2')).toBe(true)
    await cluster.settle(cluster.put('n2', 'a', 'works'))
  },
)

test('what clients have read from a clock that is ahead does not come back to it with their requests', async () => {
  const cluster = await SimCluster.start({ seed: 'echo' })
  await cluster.world.advance(3_000)
  const node = cluster.node('n2')
  cluster.process('n2').time.setSkewMs(3_600_000)
  const reading = node.clockReading()
  node.observe(reading)
  // A client that repeats a write bounds its stamps by such readings.
  const bounds = { stampAboveMs: hlcMs(reading), stampLimitMs: hlcMs(reading) + 2_000 }
  const deadlineMs = cluster.process('n2').clock.monotonicMs() + 3_000
  const write = node.put(Buffer.from('a'), Buffer.from('far'), { consistency: 'quorum', deadlineMs, ...bounds })
  await expect(cluster.settle(write)).rejects.toMatchObject({ code: 'unavailable', outcome: 'not-applied' })
  cluster.process('n2').time.setSkewMs(0)
  expect(hlcMs(node.clockReading()) - cluster.trueWallMs).toBeLessThan(1_000)
  await cluster.world.advance(2_000)
  expect(await seesAll(cluster, 'n2')).toBe(true)
  await cluster.settle(cluster.put('n2', 'a', 'works'))
})

test('restarts one after the other do not drive the clock ahead', async () => {
  const cluster = await SimCluster.start({ seed: 'ratchet' })
  for (let i = 0; i < 8; i++) {
    await cluster.allConnected()
    await cluster.settle(cluster.put('n1', 'a', `${i}`))
    cluster.crash('n1')
    await cluster.restart('n1')
  }
  await cluster.allConnected()
  const { version } = await cluster.settle(cluster.put('n1', 'a', 'last'))
  expect(hlcMs(version) - cluster.process('n1').clock.wallMs()).toBeLessThan(4_500)
})

test('all walls set back by a minute: nobody refuses anybody for what it had already read', async () => {
  const cluster = await SimCluster.start({ seed: 'all-back' })
  await cluster.settle(cluster.put('n1', 'a', 'before'))
  for (const name of ['n1', 'n2', 'n3']) cluster.process(name).time.setSkewMs(-60_000)
  expect(await cluster.settle(cluster.get('n2', 'a'))).toBe('before')
})

test('full disks make the nodes read-only, not dead; with room again they take writes by themselves', async () => {
  const cluster = await SimCluster.start({ seed: 'full' })
  await cluster.settle(cluster.put('n1', 'a', 'before'))
  for (const name of ['n1', 'n2', 'n3']) cluster.process(name).drive.faults.setFreeBytes(0)
  await cluster.world.advance(10_000)
  const refused = await failureOf(cluster.settle(cluster.put('n1', 'a', 'no room')))
  expect(['read-only', 'unavailable']).toContain(refused.code)
  expect(await cluster.settle(cluster.get('n2', 'a'))).toBe('before')
  expect([...cluster.fatal]).toEqual([])
  for (const name of ['n1', 'n2', 'n3']) cluster.process(name).drive.faults.setFreeBytes(Number.MAX_SAFE_INTEGER)
  await cluster.world.advance(10_000)
  await cluster.settle(cluster.put('n1', 'a', 'room'))
  expect(await cluster.settle(cluster.get('n3', 'a'))).toBe('room')
})

test.each([0, 2, 5, 8, 12, 20])(
  'a node that comes %i ms into the founding of others makes no second cluster',
  async (ms) => {
    const cluster = new SimCluster({ seed: `late ${ms}` })
    await cluster.startNode('n3', ['n2', 'n3'])
    await cluster.startNode('n2', ['n2', 'n3'])
    await cluster.world.advance(ms)
    await cluster.startNode('n1', ['n2', 'n3'])
    await cluster.world.advance(20_000)
    const serving = ['n1', 'n2', 'n3'].map((name) => cluster.node(name).topology?.clusterId)
    expect(new Set(serving.filter((id) => id !== undefined)).size).toBe(1)
  },
)

test('a wrong address in one list is cured by starting that one node again with the right list', async () => {
  const cluster = new SimCluster({ seed: 'typo' })
  await cluster.startNode('n1')
  await cluster.startNode('n2', ['n1', 'n2', 'n9'])
  await cluster.startNode('n3')
  await cluster.world.advance(10_000)
  expect(cluster.node('n1').phase).toBe('forming')
  cluster.crash('n2')
  cluster.process('n2').restart()
  await cluster.startNode('n2')
  await cluster.allReady()
  expect(cluster.node('n1').topology!.members).toHaveLength(3)
})
