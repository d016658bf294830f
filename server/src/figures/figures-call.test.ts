import { limits } from '@quorumkv/internal/base'
import type { FiguresResponse, LocateResponse } from '@quorumkv/proto/kv/v1/cluster'
import { describe, expect, it } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import type { CallCounts } from '../calls/service-context.js'
import { reply, startServices, type TestServices, testClock, testMeter } from '../calls/services.test-support.js'
import { freshTraffic } from '../links/link-traffic.js'
import { answerFigures } from './figures-call.js'

function figuresOf({ cluster }: TestServices, eventsAfter = 0n): Promise<FiguresResponse> {
  return reply((callback) => cluster.figures({ eventsAfter }, callback))
}

describe('the figures of a node', () => {
  it('tell what it has counted, by kind and role', async () => {
    const node = new FakeNode()
    const nowMs = performance.now()
    node.instruments.coordinated.put.succeeded(nowMs - 2, nowMs)
    node.instruments.coordinated.put.failed('unavailable')
    node.instruments.served.get.succeeded(nowMs - 1, nowMs, 3)
    node.instruments.quorumFailures.put.quorum = 1
    node.instruments.readRepairs = 4
    await using services = await startServices(node)
    const { operations, quorumFailures, readRepairs, ready, nodeId, process } = await figuresOf(services)
    expect({ ready, nodeId, quorumFailures, readRepairs }).toEqual({
      ...{ ready: true, nodeId: 'fake', quorumFailures: 1n, readRepairs: 4n },
    })
    expect(operations).toHaveLength(8)
    const [put] = operations.filter(({ kind, role }) => kind === 'put' && role === 'coordinator')
    expect(put).toMatchObject({ count: 2n, errors: 1n, errorsByCode: [{ code: 'unavailable', count: 1n }] })
    expect(put?.latency?.p50Us).toBeGreaterThanOrEqual(1_990)
    expect(put?.latency?.p50Us).toBeLessThan(2_100)
    const [get] = operations.filter(({ kind, role }) => kind === 'get' && role === 'replica')
    expect(get).toMatchObject({ count: 3n, errors: 0n })
    expect(process).toMatchObject({ rssBytes: 100n, heapUsedBytes: 50n, cpu: 0.25, gcMs: 3, sessions: 0, streams: 0 })
  })

  it('tell only events that the caller has not seen', async () => {
    const node = new FakeNode()
    node.topology = fakeTopology(3)
    await using services = await startServices(node)
    node.instruments.events.add('dead', 'n2', 'it is held for dead')
    node.instruments.events.add('alive', 'n2', 'it is back')
    const { events } = await figuresOf(services)
    expect(events.map(({ number, kind, subject }) => [number, kind, subject])).toEqual([
      [1n, 'dead', 'n2'],
      [2n, 'alive', 'n2'],
    ])
    expect((await figuresOf(services, 1n)).events.map(({ kind }) => kind)).toEqual(['alive'])
  })
})

it('the figures of a node tell which of its certificates expires first, and why a new one is not used', () => {
  const told = (certificates: { facts: readonly { toMs: number }[]; problem?: string } | undefined): unknown => {
    const calls = (): CallCounts => ({ streams: 0, sessions: 0 })
    const services = { clock: testClock, meter: testMeter, traffic: freshTraffic(), calls, certificates }
    const figures = answerFigures(new FakeNode() as never, { eventsAfter: 0n }, services as never)
    return [figures.certificateExpiresAtMs, figures.certificateProblem]
  }
  expect(told({ facts: [{ toMs: 5_000 }, { toMs: 3_000 }], problem: 'no key' })).toEqual([3_000n, 'no key'])
  expect(told({ facts: [{ toMs: 5_000 }] })).toEqual([5_000n, ''])
  expect(told(undefined)).toEqual([0n, ''])
})

describe('where a key is', () => {
  it('is told with what each owner holds, and without the value', async () => {
    const node = new FakeNode()
    await using services = await startServices(node)
    const key = Buffer.from('a')
    const absent = await reply((callback) => services.cluster.locate({ key }, callback))
    expect(absent).toMatchObject({ hash: 0x3c2569b2, slot: 0x3c2, holdings: [{ answered: true, found: false }] })
    await node.put(key, Buffer.from('123456789'), { consistency: 'one', deadlineMs: 0 })
    const { holdings } = await reply<LocateResponse>((callback) => services.cluster.locate({ key }, callback))
    expect(holdings).toEqual([
      {
        ...{ nodeId: 'fake', answered: true, obstacle: '', found: true, tombstone: false, expiresAtMs: 0n },
        ...{ valueBytes: 9n, valueCrc: 0xcbf43926, version: expect.objectContaining({ node: 1 }) },
      },
    ])
  })

  it('is not asked of a key that cannot be', async () => {
    await using services = await startServices(new FakeNode())
    const key = Buffer.alloc(limits.keyBytesMax + 1)
    await expect(reply((callback) => services.cluster.locate({ key }, callback))).rejects.toThrow(
      /INVALID_ARGUMENT.*key/,
    )
  })
})
