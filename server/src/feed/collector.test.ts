import { KvError, type NodeId } from '@quorumkv/internal/base'
import { SimWorld } from '@quorumkv/internal/env-sim'
import { FiguresResponse, Liveness, ProcessFigures } from '@quorumkv/proto/kv/v1/cluster'
import { expect, it } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { Collector } from './collector.js'
import type { ClusterView } from './view.js'

/** A node among `count` members, of which the others answer as the test says. */
class Stage {
  readonly world: SimWorld = new SimWorld({ seed: 1 })
  readonly node: FakeNode = new FakeNode()
  readonly asked: [id: string, after: bigint][] = []
  readonly bugs: unknown[] = []
  readonly answers = new Map<string, () => Promise<FiguresResponse>>()
  own: Partial<FiguresResponse> = {}
  readonly collector: Collector

  constructor(count: number) {
    const topology = fakeTopology(1)
    const [first] = topology.members
    const members = Array.from({ length: count }, (_, i) => {
      return i === 0 ? first! : { ...first!, id: `n${i + 1}` as NodeId, number: i + 1 }
    })
    this.node.topology = { ...topology, members, nextNumber: count + 1 }
    this.node.useTables()
    const { clock } = this.world.process('node')
    this.collector = new Collector({
      clock,
      node: () => this.node,
      own: () => this.figures('fake', this.own),
      ask: ({ id }, after) => {
        this.asked.push([id, after])
        return this.answers.get(id)?.() ?? Promise.resolve(this.figures(id))
      },
      hangUp: () => undefined,
      replaceAfterMs: 600_000,
      onBug: (error) => this.bugs.push(error),
    })
  }

  get others(): string[] {
    return this.node.topology!.members.map(({ id }): string => id).filter((id) => id !== 'fake')
  }

  figures(nodeId: string, parts: Partial<FiguresResponse> = {}): FiguresResponse {
    const uptimeMs = BigInt(Math.round(this.world.nowMs)) + 10_000n
    return { ...FiguresResponse.decode(new Uint8Array(0)), nodeId, atMs: 1n, uptimeMs, ready: true, ...parts }
  }

  /** A view, and then a second. */
  async view(): Promise<ClusterView> {
    const view = this.collector.view()
    await this.world.advance(1_000)
    return await view
  }
}

it('tells of all members what they tell of themselves, and counts as rates', async () => {
  const stage = new Stage(3)
  const count = (n: bigint): Partial<FiguresResponse> => ({
    operations: [
      {
        kind: 'get',
        role: 'coordinator',
        count: n,
        errors: n / 10n,
        errorsByCode: [{ code: 'timeout', count: n / 10n }],
        latency: { count: 1n, p50Us: 5, p99Us: 6, p999Us: 7, maxUs: 8 },
      },
    ],
    hintsReplayed: n,
  })
  const [id] = stage.others
  stage.answers.set(id!, async () => stage.figures(id!, count(100n)))
  const first = await stage.view()
  expect(Object.keys(first.nodes).sort()).toEqual(['fake', ...stage.others].sort())
  expect(first.nodes[id!]).toMatchObject({
    telling: { ok: true },
    load: { coordinator: { get: { rate: 0, p50: 5, max: 8 } } },
  })
  stage.answers.set(id!, async () => stage.figures(id!, count(300n)))
  const second = await stage.view()
  expect(second.nodes[id!]!.load).toMatchObject({
    coordinator: { get: { rate: 200, errors: 20 } },
    codes: { timeout: 20 },
  })
  expect(second.nodes[id!]!.repair).toMatchObject({ hintsReplayed: 200 })
})

it('a member that does not answer holds up nothing, is not asked twice at a time, and keeps what it told', async () => {
  const stage = new Stage(3)
  const [id] = stage.others
  await stage.view()
  stage.answers.set(id!, () => new Promise(() => undefined))
  const before = stage.asked.length
  const views = [await stage.view(), await stage.view(), await stage.view(), await stage.view()]
  expect(stage.asked.slice(before).filter(([asked]) => asked === id)).toHaveLength(1)
  expect(views[0]!.nodes[id!]!.telling.ok).toBe(true)
  expect(views.at(-1)!.nodes[id!]).toMatchObject({ telling: { ok: false }, process: { ready: true } })
  expect(views.at(-1)!.health.advice[0]!.text).toContain('does not tell its figures')
})

it('says why a member does not answer', async () => {
  const stage = new Stage(2)
  const [id] = stage.others
  stage.answers.set(id!, () => Promise.reject(new KvError('unavailable', 'connect ECONNREFUSED')))
  expect((await stage.view()).nodes[id!]!.telling).toEqual({ ok: false, obstacle: 'connect ECONNREFUSED' })
})

it('a bug is not taken for silence, also when it comes after the view is out', async () => {
  const stage = new Stage(2)
  const bug = new TypeError('undefined is not a function')
  let fail: (error: unknown) => void = () => undefined
  stage.answers.set(
    stage.others[0]!,
    () =>
      new Promise((_resolve, reject) => {
        fail = reject
      }),
  )
  await stage.view()
  fail(bug)
  await stage.view()
  expect(stage.bugs).toEqual([bug])
})

it('counts begin anew with a member that was started again, and its events are asked for from the first', async () => {
  const stage = new Stage(2)
  const [id] = stage.others
  const event = (number: bigint) => ({ number, atMs: 5n, kind: 'snapshot', subject: '', text: `event ${number}` })
  stage.answers.set(id!, async () => stage.figures(id!, { readRepairs: 1_000n, events: [event(7n)] }))
  await stage.view()
  await stage.view()
  expect(stage.asked.at(-1)).toEqual([id, 7n])
  stage.answers.set(id!, async () => stage.figures(id!, { uptimeMs: 10n, readRepairs: 3n }))
  const view = await stage.view()
  expect(view.nodes[id!]!.repair!.readRepairs).toBe(0)
  await stage.view()
  expect(stage.asked.at(-1)).toEqual([id, 0n])
})

it('moments that waver as clocks are read are told once, and a new beginning is told', async () => {
  const stage = new Stage(2)
  const [id] = stage.others
  const started = async (uptimeMs: bigint): Promise<number> => {
    stage.answers.set(id!, async () => stage.figures(id!, { atMs: 1_000_000n, uptimeMs }))
    return (await stage.view()).nodes[id!]!.process!.startedAtMs
  }
  expect([await started(900_000n), await started(900_700n), await started(899_900n), await started(10n)]).toEqual([
    100_000, 100_000, 100_000, 999_990,
  ])
})

it('what the others say of a member is told as one opinion', async () => {
  const stage = new Stage(3)
  const [a, b] = stage.others
  const about = (id: string, liveness: Liveness, rttUs: number | undefined) => {
    return [{ id, liveness, livenessMs: 1n, incarnation: '', rttUs, suspicions: 2n, linked: true }]
  }
  stage.own = { members: about(b!, Liveness.ALIVE, 400) }
  stage.answers.set(a!, async () => stage.figures(a!, { members: about(b!, Liveness.SUSPECT, 800) }))
  const { nodes } = await stage.view()
  expect(nodes[b!]!.opinion).toEqual({ alive: 1, of: 2, rttMedianUs: 800, rttMaxUs: 800, suspicions: 4 })
  expect(nodes[a!]!.opinion.of).toBe(0)
})

it('before there is a cluster, and before there is a node, that is told', async () => {
  const stage = new Stage(1)
  stage.node.topology = undefined
  const view = await stage.view()
  expect(view).toMatchObject({ self: 'fake', cluster: { forming: true }, nodes: {}, handover: null })
  expect(view.health.sentence).toContain('fake waits for the nodes')
})

it('an answer that was asked for before everybody left tells nothing to those who come later', async () => {
  const stage = new Stage(2)
  const events = [{ number: 1n, atMs: 5n, kind: 'snapshot', subject: '', text: 'taken' }]
  let answer = (_: FiguresResponse): void => undefined
  stage.answers.set('n2', () => new Promise((resolve) => (answer = resolve)))
  const early = stage.collector.view()
  await stage.world.advance(5_000)
  await early
  stage.collector.rest()
  answer(stage.figures('n2', { events }))
  await stage.world.advance(10)
  stage.answers.set('n2', async () => stage.figures('n2', { events }))
  const late = stage.collector.view()
  await stage.world.advance(10)
  expect((await late).events).toHaveLength(1)
})

it('figures that are no numbers, and times that are no dates, do not reach the page', async () => {
  const stage = new Stage(2)
  const process = { ...ProcessFigures.decode(new Uint8Array(0)), cpu: Number.NaN, gcMs: Number.POSITIVE_INFINITY }
  const event = { number: 1n, kind: 'snapshot', subject: '', text: 'taken' }
  const events = [
    { ...event, atMs: 2n ** 63n - 1n },
    { ...event, number: 2n, atMs: -(2n ** 63n) },
  ]
  stage.answers.set('n2', async () => stage.figures('n2', { process, events }))
  for (let i = 0; i < 2; i++) {
    const looked = stage.collector.view()
    await stage.world.advance(1_000)
    const view = JSON.parse(JSON.stringify(await looked)) as ClusterView
    expect(view.nodes['n2']!.process).toMatchObject({ cpu: 0, gcMs: 0 })
    expect(view.events.length).toBeGreaterThan(0)
    for (const { atMs } of view.events) expect(() => new Date(atMs).toISOString()).not.toThrow()
  }
})
