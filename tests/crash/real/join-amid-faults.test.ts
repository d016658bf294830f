import { setTimeout as sleep } from 'node:timers/promises'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it } from 'vitest'
import { eventually, makeClient, startServersAt, TestServer } from '../../fixtures.js'
import { longForm, Report, seed } from '../report.js'
import { untilEqual, untilLinked, untilTidy } from './equal-copies.js'
import { type HostName, Hosts, whyNoHosts } from './hosts.js'
import { MixedLoad } from './mixed-load.js'
import { loads } from './ownership.js'

const report = new Report('a host joins while the network fails')
const random = new SimRandom(seed)
/** What moves keeps the handover under way for many faults at a low rate. */
const [keys, valueBytes, rate] = longForm ? [4_000, 1_000, '96KiB'] : [500, 1_000, '256KiB']
const [faultMsMax, calmMsMax, roundMs] = longForm ? [6_000, 3_000, 10_000] : [1_500, 1_000, 3_000]
const faultsMax = longForm ? 100 : 4
const changeMs = longForm ? 300_000 : 60_000

type Fault = (hosts: Hosts, draw: SimRandom) => Promise<void>

/** `count` of the nodes, and the others. */
function split(nodes: readonly number[], count: number, draw: SimRandom): [number[], number[]] {
  const chosen = new Set<number>()
  while (chosen.size < count) chosen.add(draw.pick(nodes))
  return [[...chosen], nodes.filter((node) => !chosen.has(node))]
}

const everybody = [0, 1, 2, 3, 4] as const
const joiner = 4

const faults: Fault[] = [
  (hosts, draw) => hosts.part(...split(everybody, 2, draw)),
  (hosts, draw) => hosts.lose(1, ...split(everybody, 1, draw)),
  (hosts, draw) => hosts.part([joiner], split([0, 1, 2, 3], 2, draw)[0]),
  (hosts, draw) => hosts.unplug(draw.pick(everybody)),
  async (hosts, draw) => {
    const [bad, good] = split(everybody, 1, draw)
    const others: readonly HostName[] = ['here', ...good]
    await hosts.lose(0.3, bad, others)
    await hosts.lose(0.3, others, bad)
  },
]

it('what it owns comes to it in the end, and nobody is told of an error or of anything old', async (context) => {
  const why = whyNoHosts()
  if (why !== undefined) {
    process.stdout.write(`a host joins while the network fails: skipped, ${why}\n`)
    context.skip(why)
  }
  await using hosts = await Hosts.make(everybody.length)
  const [first, last] = [hosts.places.slice(0, joiner), hosts.places[joiner]!]
  const flags = ['--stream-rate', rate]
  await using cluster = await startServersAt(first, { flags })
  const { addresses } = cluster
  await using client = makeClient(addresses)
  const records = Array.from({ length: keys }, (_, i) => [`record-${i}`, `${i}`.padEnd(valueBytes, '.')] as const)
  expect((await client.putMany(records)).filter(({ ok }) => !ok)).toEqual([])
  const draw = random.fork('faults')
  await using load = new MixedLoad(addresses, random.fork('load'), roundMs)
  await cluster.whileAllRun(async () => {
    await using newcomer = new TestServer({ ...last, id: 'n5', peers: addresses, flags })
    const startedMs = performance.now()
    // The step that comes before its slots are taken from those who had them.
    const over = async (): Promise<boolean> => loads(await client.topology({ timeoutMs: 20_000 })).has('n5')
    // Where they come too fast nothing gets on, and need not: it goes on when they are over.
    for (let n = 0; n < faultsMax && !(await over()); n++) {
      await draw.pick(faults)(hosts, draw)
      await sleep(draw.between(200, faultMsMax))
      await hosts.heal()
      report.count('faults')
      await sleep(draw.between(100, calmMsMax))
    }
    await eventually('the newcomer is read', over, changeMs)
    await newcomer.ready()
    report.highest('ms until it is read', Math.round(performance.now() - startedMs))
    const all = [...addresses, newcomer.address]
    await untilLinked(client, all, changeMs)
    await load.end()
    await untilEqual(client, all, changeMs)
    await load.judge(client, report)
    const found = await client.getMany(
      records.map(([key]) => key),
      { timeoutMs: 60_000 },
    )
    expect(records.filter(([key, value]) => found.get(key) !== value)).toEqual([])
    await untilTidy(client, all, changeMs)
  })
})
