import { FatalError } from '@quorumkv/internal/base'
import type { NodeOptions } from '@quorumkv/internal/cluster'
import { demandsAuthentication, type Grant } from '@quorumkv/internal/slots'
import { expect, test } from 'vitest'
import { atRest, expectEqualCopies, fill, four, join, reached, three, threeOf } from './handover-scene.js'
import { SimCluster } from './sim-cluster.js'

function grant(name: string): Grant {
  const tokenHash = new Uint8Array(32).fill(name.length)
  return { name, role: 'write', prefixes: [], tokenHash, createdAtMs: 1, expiresAtMs: undefined }
}

async function allow(cluster: SimCluster, via: string, name: string): Promise<void> {
  await cluster.settle(cluster.node(via).members!.changeAccess({ kind: 'grant', grant: grant(name) }))
}

async function revoke(cluster: SimCluster, via: string, name: string): Promise<void> {
  await cluster.settle(cluster.node(via).members!.changeAccess({ kind: 'revoke', name }))
}

function allowedAt(cluster: SimCluster, name: string): string[] {
  return cluster.node(name).topology!.access.grants.map((each) => each.name)
}

test('who may call changes while slots move, in either step; the handover goes on under its name, and neither loses anything', async () => {
  const cluster = await threeOf({ seed: 'access and handover', streamBytesPerSecond: 100_000 })
  const keys = await fill(cluster, 100, 'v'.repeat(1_000))
  await join(cluster, 'n4')
  await reached(cluster, 'both', 50)
  const { since } = cluster.node('n1').topology!.handover!
  const streamed = (): number =>
    cluster
      .node('n4')
      .status()
      .handover!.reports.find(({ id }) => id === 'n4')?.done ?? 0
  const before = streamed()
  for (let i = 0; i < 10; i++) {
    await allow(cluster, three[i % 3]!, `p${i}`)
    if (i > 0) await revoke(cluster, three[(i + 1) % 3]!, `p${i}`)
  }
  expect(cluster.node('n1').topology!.handover).toMatchObject({ since, step: 'both' })
  expect(streamed()).toBeGreaterThanOrEqual(before)
  await reached(cluster, 'switch')
  expect(cluster.node('n1').topology!.handover).toMatchObject({ since })
  await allow(cluster, 'n2', 'late')
  await cluster.world.runUntil(() => atRest(cluster, 4), 120_000)
  await cluster.world.runUntil(() => four.every((name) => allowedAt(cluster, name).length === 2), 10_000)
  for (const name of four) {
    expect(allowedAt(cluster, name)).toEqual(['late', 'p0'])
    // At least one for each change; a member that had not heard of somebody has made sure of it first.
    expect(cluster.node(name).topology!.access.revision).toBeGreaterThanOrEqual(20)
  }
  await expectEqualCopies(cluster)
  for (const key of keys.slice(0, 20)) expect(await cluster.settle(cluster.get('n4', key))).toBeDefined()
})

test('somebody is revoked through a member that has not heard of them yet; nobody unknown can be revoked anywhere', async () => {
  const cluster = await threeOf({ seed: 'revoked at once' })
  for (const [i, name] of ['a', 'b', 'c', 'd', 'e'].entries()) {
    await allow(cluster, three[i % 3]!, name)
    await revoke(cluster, three[(i + 1) % 3]!, name)
  }
  const error = await revoke(cluster, 'n1', 'nobody').catch((each: unknown) => each)
  expect(error).toMatchObject({ code: 'invalid-argument', field: 'name' })
  await cluster.world.runUntil(() => three.every((name) => allowedAt(cluster, name).length === 0), 10_000)
})

test('a member that was away hears of a revocation before it answers for anybody who knows of it', async () => {
  const cluster = await threeOf({ seed: 'revoked while away' })
  await allow(cluster, 'n1', 'app')
  await cluster.world.runUntil(() => three.every((name) => allowedAt(cluster, name).length === 1), 10_000)
  cluster.crash('n3')
  await revoke(cluster, 'n2', 'app')
  cluster.process('n3').restart()
  const node = await cluster.startNode('n3', three)
  await cluster.settle(node.ready())
  await cluster.allConnected()
  await cluster.settle(cluster.put('n3', 'key', 'value'))
  expect(allowedAt(cluster, 'n3')).toEqual([])
})

async function launched(cluster: SimCluster, name: string, change: Partial<NodeOptions>): Promise<void> {
  const node = await cluster.settle(cluster.launch(name, three, name, change))
  await cluster.settle(node.ready())
}

test('authentication is turned on node by node while the cluster serves; when the last has it, nobody can be without', async () => {
  const cluster = await threeOf({ seed: 'rolling turn-on' })
  const demanded = (name: string): boolean => demandsAuthentication(cluster.node(name).topology!)
  const known = (count: number) => () =>
    cluster.node('n1').topology!.members.filter(({ authenticates }) => authenticates).length === count
  for (const [i, name] of three.entries()) {
    expect(demanded('n1')).toBe(false)
    cluster.crash(name)
    cluster.process(name).restart()
    await launched(cluster, name, { authenticates: true })
    await cluster.allConnected()
    await cluster.settle(cluster.put(name, `by ${name}`, 'x'))
    await cluster.world.runUntil(known(i + 1), 30_000)
    // Until the last has it, one may go back.
    if (i !== 1) continue
    cluster.crash(name)
    cluster.process(name).restart()
    await launched(cluster, name, {})
    await cluster.allConnected()
    await cluster.world.runUntil(known(1), 30_000)
    cluster.crash(name)
    cluster.process(name).restart()
    await launched(cluster, name, { authenticates: true })
    await cluster.allConnected()
    await cluster.world.runUntil(known(2), 30_000)
  }
  await cluster.world.runUntil(() => three.every(demanded), 10_000)
  cluster.crash('n2')
  cluster.process('n2').restart()
  const error = await cluster.settle(cluster.launch('n2', three, 'n2', {})).catch((each: unknown) => each)
  expect(error).toBeInstanceOf(FatalError)
  expect(error).toMatchObject({ reason: 'refused', message: expect.stringContaining('--auth-file') })
  cluster.crash('n2')
  cluster.process('n2').restart()
  await launched(cluster, 'n2', { authenticates: true })
  for (const name of ['n4']) {
    await cluster.settle(cluster.launch(name, three, name, {}))
    await cluster.world.runUntil(() => cluster.fatal.has(name), 30_000)
    expect(cluster.fatal.get(name)).toMatchObject({ reason: 'refused' })
  }
  expect(await cluster.settle(cluster.get('n2', 'by n1'))).toBe('x')
})

test('founders of which one asks nobody found nothing', async () => {
  const cluster = new SimCluster({ seed: 'founders differ in asking' })
  for (const name of three) {
    await cluster.settle(cluster.launch(name, three, name, { authenticates: name !== 'n2' }))
  }
  await cluster.world.advance(20_000)
  expect(three.map((name) => cluster.node(name).topology)).toEqual([undefined, undefined, undefined])
})
