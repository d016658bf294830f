import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type KvClient, KvError } from '@quorumkv/client'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it, type TestContext } from 'vitest'
import { eventually, makeClient, startServersAt, type TestCluster } from '../../fixtures.js'
import { environmentNumber, longForm, Report, seed } from '../report.js'
import { untilConverged, untilEqual, untilLinked } from './equal-copies.js'
import { Hosts, whyNoHosts } from './hosts.js'
import { MixedLoad } from './mixed-load.js'

const report = new Report('partitions of five hosts')
const random = new SimRandom(seed)
/** `KV_SECONDS`, `--seconds`: how long each fault lasts. */
const faultMs = 1_000 * (environmentNumber('KV_SECONDS') ?? (longForm ? 60 : 4))
const [calmMs, roundMs] = longForm ? [5_000, 10_000] : [500, 2_000]
const nodes = [0, 1, 2, 3, 4] as const
/** Longer than a node needs to notice that nobody answers; both sides are busy. */
const noticeMs = 50_000
const healMs = 60_000
/** Files of the log and connections that come and go. Attempts to reach three nodes in vain would be as many in a minute. */
const descriptorsMore = 40

/** Prints why a test cannot run here, and ends it. */
function needHosts(context: TestContext): void {
  const why = whyNoHosts()
  if (why === undefined) return
  process.stdout.write(`partitions of five hosts: skipped, ${why}\n`)
  context.skip(why)
}

/** Five nodes on hosts of their own, and clients beside them that reach all hosts, whatever happens between those. */
interface Scene {
  readonly hosts: Hosts
  readonly cluster: TestCluster
  readonly client: KvClient
}

/** A fault that begins, with what is to be seen while it lasts; and what when all copies are equal again. */
type Fault = (scene: Scene, draw: SimRandom) => Promise<(() => Promise<void>) | undefined>

function descriptors(cluster: TestCluster): number {
  return Math.max(...cluster.servers.map(({ pid }) => readdirSync(`/proc/${pid}/fd`).length))
}

/** Who belongs to the cluster and by which topology; everything about it that a fault of the network must not change. */
async function membership(client: KvClient): Promise<object> {
  const { epoch, clusterId, members } = await client.topology()
  return { epoch, clusterId, members: members.map(({ id, number, incarnation }) => [id, number, incarnation]) }
}

/** Lets a fault come and pass while clients work. Who reaches a majority of the owners of each key is told of no error. */
async function endure(name: string, fault: Fault): Promise<void> {
  await using hosts = await Hosts.make(nodes.length)
  await using cluster = await startServersAt(hosts.places)
  const { addresses } = cluster
  await using client = makeClient(addresses)
  const draw = random.fork(name)
  await using load = new MixedLoad(addresses, draw.fork('load'), roundMs)
  await cluster.whileAllRun(async () => {
    await untilLinked(client, addresses, noticeMs)
    const before = await membership(client)
    await sleep(calmMs)
    const [open, returned] = [descriptors(cluster), load.returned]
    const beganMs = performance.now()
    const afterwards = await fault({ hosts, cluster, client }, draw)
    await sleep(Math.max(0, faultMs - (performance.now() - beganMs)))
    const lastedMs = performance.now() - beganMs
    const more = descriptors(cluster) - open
    expect(load.returned, 'what is left goes on working').toBeGreaterThan(returned + 10)
    await hosts.heal()
    const healedMs = performance.now()
    await untilLinked(client, addresses, healMs)
    report.highest('ms until all nodes had each other back', Math.round(performance.now() - healedMs))
    await load.end()
    if (longForm) {
      await untilConverged(client, addresses, healMs)
      report.highest('ms until all copies were equal', Math.round(performance.now() - healedMs))
    }
    await untilEqual(client, addresses, healMs)
    await afterwards?.()
    expect(await membership(client)).toEqual(before)
    report.count('ms of faults', Math.round(lastedMs))
    report.highest('descriptors more during one', more)
    expect(more).toBeLessThan(descriptorsMore)
    await load.judge(client, report)
  })
}

/** How a call was refused, or that it was not. */
async function refusal(call: Promise<unknown>): Promise<KvError | 'served'> {
  try {
    await call
    return 'served'
  } catch (error) {
    if (error instanceof KvError) return error
    throw error
  }
}

/** One key in the eyes of the two sides of a partition. */
interface Sides {
  readonly key: string
  /** Clients that reach the side that has a majority of the key's owners, and the other side. */
  readonly many: KvClient
  readonly few: KvClient
  /** Owners on the other side: 0 or 1. */
  readonly fewOwners: number
}

/** So many keys of each kind: the majority of the owners here or there, nobody or one on the other side. */
const keysOfAKind = longForm ? 8 : 2

async function keysOfTwoSides(client: KvClient, first: KvClient, second: KvClient, those: ReadonlySet<string>) {
  const found: Sides[] = []
  const kinds = new Map<number, number>()
  for (let i = 0; i < 2_000; i++) {
    const key = `side-${i}`
    const { owners } = await client.partition(key)
    const inFirst = owners.filter(({ address }) => those.has(address)).length
    const count = kinds.get(inFirst) ?? 0
    if (count === keysOfAKind) continue
    kinds.set(inFirst, count + 1)
    const firstHasMany = inFirst > owners.length / 2
    const fewOwners = firstHasMany ? owners.length - inFirst : inFirst
    found.push(
      firstHasMany ? { key, many: first, few: second, fewOwners } : { key, many: second, few: first, fewOwners },
    )
    // Of two nodes and three owners: none, one or both.
    if (found.length === 3 * keysOfAKind) break
  }
  expect(kinds.size).toBe(3)
  return found
}

/** What is to be seen of one key while the sides do not see each other; afterwards, what it may hold. */
async function judge({ key, many, few, fewOwners }: Sides): Promise<Set<string>> {
  const timeoutMs = 1_500
  const allowed = new Set(['by many'])
  await many.put(key, 'by many')
  expect(await many.get(key)).toBe('by many')
  const reading = await refusal(few.get(key, { timeoutMs }))
  expect(reading, `${key} read at quorum`).toMatchObject({ code: expect.stringMatching(/^(unavailable|timeout)$/) })
  const writing = await refusal(few.put(key, 'by few', { timeoutMs }))
  expect(writing, `${key} written at quorum`).toMatchObject({
    code: expect.stringMatching(/^(unavailable|timeout)$/),
    outcome: expect.stringMatching(/^(not-applied|unknown)$/),
  })
  if (writing !== 'served' && writing.outcome === 'unknown') allowed.add('by few')
  const one = { timeoutMs, consistency: 'one' } as const
  if (fewOwners === 0) {
    const [read, written] = [await refusal(few.get(key, one)), await refusal(few.put(key, 'nowhere', one))]
    for (const each of [read, written]) expect(each, `${key} without an owner`).toBeInstanceOf(KvError)
    if (written !== 'served' && written.outcome === 'unknown') allowed.add('nowhere')
    return allowed
  }
  // The owner here may have what was there before, or what it was not allowed to acknowledge.
  expect(['before', 'by few']).toContain(await few.get(key, { ...one, timeoutMs: 10_000 }))
  const { acks } = await few.put(key, 'by one', { ...one, timeoutMs: 10_000 })
  expect(acks).toBeGreaterThan(0)
  expect(await few.get(key, one)).toBe('by one')
  return allowed.add('by one')
}

it('two hosts parted from three: the owners that are a majority serve, the others refuse, and both are one again', async (context) => {
  needHosts(context)
  await endure('parted', async ({ hosts, cluster, client }, draw) => {
    const { addresses } = cluster
    const first = draw.below(nodes.length)
    const two = [first, (first + 1 + draw.below(nodes.length - 1)) % nodes.length]
    const three = nodes.filter((node) => !two.includes(node))
    const [ofTwo, ofThree] = [two, three].map((side) => side.map((node) => addresses[node]!)) as [string[], string[]]
    const clientOf = (side: string[], far: string[]): KvClient =>
      makeClient(side, { addressMap: Object.fromEntries(far.map((address) => [address, hosts.nowhere])) })
    const [atTwo, atThree] = [clientOf(ofTwo, ofThree), clientOf(ofThree, ofTwo)]
    const all = await keysOfTwoSides(client, atTwo, atThree, new Set(ofTwo))
    for (const { key } of all) await client.put(key, 'before')
    const partedMs = performance.now()
    await hosts.part(two, three)
    // At once: connections tell before anybody is given up.
    const allowed = await Promise.all(all.map(judge))
    if (longForm) {
      await eventually(
        'each side knows that the other is away',
        async () => {
          const told = await Promise.all(addresses.map((address) => client.status(address)))
          return told.every(({ members }, i) => {
            const own = two.includes(i as 0) ? ofTwo : ofThree
            return members.every(({ address, liveness }) => (liveness === 'alive') === own.includes(address))
          })
        },
        noticeMs,
      )
      report.highest('ms until both sides knew', Math.round(performance.now() - partedMs))
    }
    report.count('keys judged on both sides', all.length)
    return async () => {
      for (const [i, { key, many, few }] of all.entries()) {
        const found = [await many.get(key), await few.get(key)]
        expect(found[1], `${key}: the same on both sides`).toBe(found[0])
        expect([...allowed[i]!], key).toContain(found[0])
      }
      await Promise.all([atTwo.close(), atThree.close()])
    }
  })
})

const single: [name: string, fault: Fault][] = [
  [
    'a host that hears the others and is not heard',
    async ({ hosts }, draw) => {
      const mute = draw.pick(nodes)
      await hosts.lose(
        1,
        [mute],
        nodes.filter((node) => node !== mute),
      )
      return undefined
    },
  ],
  [
    'a host that is heard and hears no other',
    async ({ hosts }, draw) => {
      const deaf = draw.pick(nodes)
      await hosts.lose(
        1,
        nodes.filter((node) => node !== deaf),
        [deaf],
      )
      return undefined
    },
  ],
  [
    'a host that loses 30 % of all packets',
    async ({ hosts }, draw) => {
      const bad = draw.pick(nodes)
      const others = ['here' as const, ...nodes.filter((node) => node !== bad)]
      await hosts.lose(0.3, [bad], others)
      await hosts.lose(0.3, others, [bad])
      return undefined
    },
  ],
  [
    'two hosts that reach everybody but each other',
    async ({ hosts }, draw) => {
      const first = draw.below(nodes.length)
      await hosts.part([first], [(first + 1 + draw.below(nodes.length - 1)) % nodes.length])
      return undefined
    },
  ],
  [
    'a host whose cable is pulled out',
    async ({ hosts }, draw) => {
      await hosts.unplug(draw.pick(nodes))
      return undefined
    },
  ],
]

// The short form takes one of them, by its seed.
it.for(longForm ? single : [single[seed % single.length]!])(
  '%s costs nobody an error, and nothing has changed when it is over',
  async ([name, fault], context) => {
    needHosts(context)
    await endure(name, fault)
  },
)
