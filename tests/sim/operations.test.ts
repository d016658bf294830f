import { KvError, type NodeId, parseNodeId, type Slot } from '@quorumkv/internal/base'
import type { StopVerdict, WantedChange } from '@quorumkv/internal/cluster'
import { slotOf } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

const n1 = parseNodeId('n1')

function safe(cluster: SimCluster, via: string, id: string): Promise<StopVerdict> {
  return cluster.settle(cluster.node(via).members!.safeToStop(parseNodeId(id)))
}

async function refusal(cluster: SimCluster, via: string, change: WantedChange): Promise<KvError> {
  const error = await cluster.settle(cluster.node(via).members!.request(change)).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(KvError)
  return error as KvError
}

/** Until the node asked says that every member may go down, one at a time. */
async function untilAllSafe(cluster: SimCluster, via: string): Promise<void> {
  for (const name of cluster.names) {
    await expect
      .poll(async () => {
        await cluster.world.advance(100)
        return (await safe(cluster, via, name)).reason
      })
      .toBe('')
  }
}

test('with all members there each may go down; with one down only that one, and the reason names it', async () => {
  const cluster = await SimCluster.start({ seed: 'safe to stop' })
  for (const name of cluster.names) expect(await safe(cluster, 'n1', name)).toEqual({ safe: true, reason: '' })
  cluster.crash('n3')
  await cluster.world.advance(5_000)
  expect(await safe(cluster, 'n1', 'n3')).toEqual({ safe: true, reason: '' })
  for (const name of ['n1', 'n2']) {
    const { safe: may, reason } = await safe(cluster, 'n1', name)
    expect(may).toBe(false)
    expect(reason).toMatch(/^4096 of the slots of n\d would be without a quorum: slot 0 .* \(n3 is down\)$/)
  }
  await cluster.restart('n3')
  await untilAllSafe(cluster, 'n2')
  await expect(safe(cluster, 'n1', 'n9')).rejects.toMatchObject({ code: 'invalid-argument', field: 'id' })
})

test('a member that lives but has lost a slot does not count for it until it is refilled', async () => {
  const cluster = await SimCluster.start({ seed: 'safe but for one slot' })
  const slot = slotOf(new TextEncoder().encode('key'))
  await cluster.settle(cluster.put('n1', 'key', 'value'))
  cluster.crash('n3')
  cluster.process('n3').restart()
  await cluster.lose('n3', [slot as Slot])
  await cluster.startNode('n3')
  await cluster.world.runUntil(() => cluster.node('n1').linked(memberOf(cluster, 'n3').id), 10_000)
  // Before it has been refilled, which takes a moment.
  expect(cluster.node('n3').localStore!.lostCount).toBe(1)
  const verdict = await safe(cluster, 'n1', 'n2')
  expect(verdict.reason).toBe(
    `1 of the slots of n2 would be without a quorum: slot ${slot} would have 1 of the 2 copies that a quorum takes ` +
      '(n3 has lost it)',
  )
  await cluster.world.runUntil(() => cluster.node('n3').localStore!.lostCount === 0, 60_000)
  expect(await safe(cluster, 'n1', 'n2')).toEqual({ safe: true, reason: '' })
})

function memberOf(cluster: SimCluster, name: string) {
  return cluster.node('n1').topology!.members.find(({ id }) => id === name)!
}

test('asked whether it is safe, stopped, started, one node after the other: nobody who asks the others notices', async () => {
  const cluster = await SimCluster.start({ seed: 'rolling restart', nodes: 5 })
  for (let i = 0; i < 200; i++) await cluster.settle(cluster.put('n1', `k${i}`, 'before'))
  for (const name of cluster.names) {
    const other = cluster.names.find((each) => each !== name)!
    await expect
      .poll(async () => {
        await cluster.world.advance(100)
        return (await safe(cluster, other, name)).safe
      })
      .toBe(true)
    cluster.node(name).members!.drain()
    await cluster.settle(cluster.node(name).stop(10_000))
    cluster.crash(name)
    for (let i = 0; i < 200; i++) await cluster.settle(cluster.put(other, `k${i}`, `after ${name}`))
    await cluster.restart(name)
  }
  for (let i = 0; i < 200; i++) expect(await cluster.settle(cluster.get('n3', `k${i}`))).toBe('after n5')
})

test('a drained node finishes what runs, takes nothing new, and stays a replica until it is started again', async () => {
  const cluster = await SimCluster.start({ seed: 'drain' })
  const running = cluster.put('n2', 'running', 'yes', 'all')
  const members = cluster.node('n2').members!
  expect([members.draining, members.operations]).toEqual([false, 1])
  members.drain()
  members.drain()
  expect([members.draining, members.operations]).toEqual([true, 1])
  await expect(cluster.settle(cluster.put('n2', 'new', 'no'))).rejects.toMatchObject({
    ...{ code: 'unavailable', outcome: 'not-applied', message: 'this node is being drained' },
  })
  await expect(cluster.scan('n2')).rejects.toMatchObject({ code: 'unavailable' })
  expect((await cluster.settle(running)).acks).toBe(3)
  expect(members.operations).toBe(0)
  expect((await cluster.settle(cluster.put('n1', 'others', 'go on', 'all'))).acks).toBe(3)
  cluster.crash('n2')
  await cluster.restart('n2')
  await cluster.allConnected()
  expect(await cluster.settle(cluster.get('n2', 'others'))).toBe('go on')
})

test('a plan changes nothing; who lives is not removed, and who is down cannot hand over', async () => {
  const cluster = await SimCluster.start({ seed: 'plan', nodes: 4 })
  for (let i = 0; i < 100; i++) await cluster.settle(cluster.put('n1', `k${i}`, 'x'.repeat(1_000)))
  const plan = await cluster.settle(cluster.node('n2').members!.plan({ kind: 'decommission', id: n1 }))
  expect(plan).toMatchObject({ begins: 'at-once', spareNow: 1, spareMeanwhile: 1, spareAfterwards: 1 })
  expect(plan.bytes).toBeGreaterThan(50_000)
  expect(plan.durationMs).toBeGreaterThanOrEqual(0)
  await cluster.world.advance(5_000)
  for (const name of cluster.names) expect(cluster.node(name).topology!.epoch).toBe(1)
  expect(await refusal(cluster, 'n2', { kind: 'remove', id: n1 })).toMatchObject({
    ...{ code: 'invalid-argument', field: 'id', message: expect.stringContaining('n1 is alive: decommission it') },
  })
  cluster.crash('n1')
  await cluster.world.advance(5_000)
  expect(await refusal(cluster, 'n2', { kind: 'decommission', id: n1 })).toMatchObject({
    ...{ code: 'invalid-argument', message: expect.stringContaining('n1 cannot be reached') },
  })
  await cluster.settle(cluster.node('n2').members!.request({ kind: 'remove', id: n1 }))
  await cluster.world.runUntil(() => cluster.node('n3').topology!.members.length === 3, 60_000)
})

test('a handover that is called off while it streams leaves everything as it was', async () => {
  const cluster = await SimCluster.start({ seed: 'called off', nodes: 4, streamBytesPerSecond: 20_000 })
  for (let i = 0; i < 300; i++) await cluster.settle(cluster.put('n1', `k${i}`, 'x'.repeat(1_000)))
  const change: WantedChange = { kind: 'decommission', id: n1 }
  await cluster.settle(cluster.node('n2').members!.request(change))
  await cluster.world.runUntil(() => cluster.node('n3').topology!.handover !== undefined, 10_000)
  const next: WantedChange = { kind: 'reweight', id: 'n2' as NodeId, weight: 3 }
  expect(await cluster.settle(cluster.node('n3').members!.plan(next))).toMatchObject({ begins: 'queued' })
  await cluster.settle(cluster.node('n3').members!.request(next))
  await cluster.world.runUntil(() => cluster.node('n4').topology!.planned[0]?.kind === 'reweight', 10_000)
  const { epoch } = cluster.node('n4').topology!
  await cluster.settle(cluster.node('n4').members!.request({ kind: 'cancel', id: 'n2' as NodeId, epoch }))
  expect(cluster.node('n4').topology!.handover).toBeDefined()
  await cluster.settle(cluster.node('n3').members!.request({ kind: 'cancel', id: n1, epoch }))
  await cluster.world.advance(20_000)
  for (const name of cluster.names) {
    const { members, handover, planned } = cluster.node(name).topology!
    expect([handover, planned, members.map(({ state }) => state)]).toEqual([undefined, [], Array(4).fill('serving')])
  }
  for (let i = 0; i < 300; i++) expect(await cluster.settle(cluster.get('n4', `k${i}`))).toBe('x'.repeat(1_000))
})

test('a member whose disk is full carries no quorum: the others must not be stopped', async () => {
  const cluster = await SimCluster.start({ seed: 'full disk' })
  cluster.process('n3').drive.faults.setFreeBytes(0)
  const isFull = (): boolean => cluster.node('n3').status().store!.readOnly
  for (let i = 0; i < 200 && !isFull(); i++) await cluster.settle(cluster.put('n1', `k${i}`, 'x'.repeat(900_000)))
  expect(isFull()).toBe(true)
  expect(await safe(cluster, 'n1', 'n3')).toEqual({ safe: true, reason: '' })
  expect((await safe(cluster, 'n1', 'n2')).reason).toMatch(
    /1 of the 2 .* \(n3 takes no writes, because its disk is full\)/,
  )
  cluster.process('n3').drive.faults.setFreeBytes(Number.POSITIVE_INFINITY)
  await untilAllSafe(cluster, 'n1')
})

test('where one copy answers a read, a dead member is not removed: the handover could not end; a new directory takes its place', async () => {
  const replication = { replicationFactor: 3, readQuorum: 1, writeQuorum: 3 }
  const cluster = await SimCluster.start({ seed: 'no fence', nodes: 4, replication, replaceAfterMs: 20_000 })
  await cluster.settle(cluster.put('n1', 'a', 'b'))
  cluster.crash('n4')
  cluster.wipe('n4')
  await cluster.world.advance(5_000)
  const n4 = parseNodeId('n4')
  const wanted: WantedChange[] = [
    { kind: 'remove', id: n4 },
    { kind: 'replace', id: n4, by: parseNodeId('n5') },
  ]
  for (const change of wanted) {
    expect((await refusal(cluster, 'n1', change)).message).toMatch(
      /nobody can be sure that n4 does not: start it again/,
    )
  }
  // Nor by itself.
  await cluster.world.advance(60_000)
  expect(cluster.node('n1').topology!.epoch).toBe(1)
  cluster.process('n4').restart()
  await cluster.settle(cluster.launch('n4', ['n1']))
  await cluster.settle(cluster.node('n4').ready())
  await cluster.world.runUntil(() => cluster.node('n4').localStore!.lostSlots().length === 0, 60_000)
  expect(cluster.node('n1').topology!.members.map(({ id, number }) => `${id} ${number}`)).toContain('n4 5')
  await cluster.settle(cluster.put('n4', 'a', 'c'))
})
