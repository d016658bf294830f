import { limits } from '@quorumkv/internal/base'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

const names = ['n1', 'n2', 'n3']
const minuteMs = 60_000

async function putFor(cluster: SimCluster, via: string, key: string, value: string, ttlMs: number): Promise<void> {
  const deadlineMs = cluster.process(via).clock.monotonicMs() + 5_000
  const options = { consistency: 'all' as const, deadlineMs, ttlMs }
  await cluster.settle(cluster.node(via).put(Buffer.from(key), Buffer.from(value), options))
}

/** Live values and tombstones of each node, as `1+0`. */
function held(cluster: SimCluster): string[] {
  return names.map((name) => {
    const { entries, tombstones } = cluster.node(name).status().store!
    return `${entries}+${tombstones}`
  })
}

async function reads(cluster: SimCluster, key: string): Promise<(string | undefined)[]> {
  const found: (string | undefined)[] = []
  for (const via of names) found.push(await cluster.settle(cluster.get(via, key)))
  return found
}

test('clocks five minutes apart: nobody purges what another still shows, and all end up with a tombstone', async () => {
  const cluster = await SimCluster.start({ seed: 'ttl skew', maxClockDriftMs: 11 * minuteMs })
  cluster.process('n2').time.setSkewMs(5 * minuteMs)
  cluster.process('n3').time.setSkewMs(-5 * minuteMs)
  await cluster.world.advance(3_000)
  await putFor(cluster, 'n1', 'a', '1', 10 * minuteMs)
  expect(await reads(cluster, 'a')).toEqual(['1', '1', '1'])
  await cluster.world.advance(6 * minuteMs)
  expect(await reads(cluster, 'a'), 'n2 is past the expiry').toEqual(['1', undefined, '1'])
  await cluster.world.advance(6 * minuteMs)
  expect(await reads(cluster, 'a'), 'n1 as well').toEqual([undefined, undefined, '1'])
  expect(held(cluster), 'n3 still shows it').toEqual(['1+0', '1+0', '1+0'])
  await cluster.world.advance(5 * minuteMs)
  expect(await reads(cluster, 'a')).toEqual([undefined, undefined, undefined])
  expect(await cluster.scan('n3')).toEqual(new Map())
  expect(held(cluster), 'n2 is the first to purge').toEqual(['1+0', '0+1', '1+0'])
  expect(await reads(cluster, 'a')).toEqual([undefined, undefined, undefined])
  await cluster.world.advance(11 * minuteMs)
  expect(held(cluster)).toEqual(['0+1', '0+1', '0+1'])
})

test('a clock that jumps an hour ahead and back takes no value early, with the others there or not', async () => {
  for (const alone of [false, true]) {
    const cluster = await SimCluster.start({ seed: `ttl jump ${alone}` })
    await cluster.world.advance(3_000)
    await putFor(cluster, 'n1', 'a', '1', 10 * minuteMs)
    if (alone) for (const name of ['n1', 'n3']) cluster.crash(name)
    cluster.process('n2').time.setSkewMs(60 * minuteMs)
    await cluster.world.advance(minuteMs)
    cluster.process('n2').time.setSkewMs(0)
    if (alone) for (const name of ['n1', 'n3']) await cluster.restart(name)
    await cluster.allConnected()
    expect(held(cluster)).toEqual(['1+0', '1+0', '1+0'])
    expect(await reads(cluster, 'a')).toEqual(['1', '1', '1'])
  }
})

test('an expiry at the longest ttl is kept as it is, through restarts as well', async () => {
  const cluster = await SimCluster.start({ seed: 'ttl max' })
  await putFor(cluster, 'n1', 'a', '1', limits.ttlMsMax)
  await cluster.world.advance(60 * minuteMs)
  for (const name of names) {
    cluster.crash(name)
    await cluster.restart(name)
    await cluster.allConnected()
  }
  await cluster.world.advance(60 * minuteMs)
  expect(await reads(cluster, 'a')).toEqual(['1', '1', '1'])
  expect(held(cluster)).toEqual(['1+0', '1+0', '1+0'])
})

test('an expired key does not come back when a replica returns that had missed its purge', async () => {
  const cluster = await SimCluster.start({ seed: 'ttl return' })
  await cluster.world.advance(3_000)
  await putFor(cluster, 'n1', 'a', '1', minuteMs)
  cluster.crash('n3')
  await cluster.world.advance(2 * minuteMs)
  expect(cluster.node('n1').status().store).toMatchObject({ entries: 0, tombstones: 1 })
  await cluster.restart('n3')
  await cluster.allConnected()
  expect(await reads(cluster, 'a')).toEqual([undefined, undefined, undefined])
  expect(await cluster.scan('n2')).toEqual(new Map())
  await cluster.world.advance(minuteMs)
  expect(held(cluster)).toEqual(['0+1', '0+1', '0+1'])
})
