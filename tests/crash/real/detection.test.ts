import { setTimeout as sleep } from 'node:timers/promises'
import { type KvClient, KvError } from '@quorumkv/client'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it } from 'vitest'
import { makeClient, startServers, startServersAt, type TestCluster, type TestServer } from '../../fixtures.js'
import { environmentNumber, longForm, Report, seed } from '../report.js'
import { untilLinked } from './equal-copies.js'
import { Hosts, whyNoHosts } from './hosts.js'
import { median, percentile } from './latencies.js'
import { standStill } from './nemesis.js'
import { Registers } from './registers.js'

const report = new Report('failure detection')
const random = new SimRandom(seed)
const kills = longForm ? 24 : 2
/** `KV_SECONDS`, `--seconds`: how long one node stands still now and then. */
const pausesMs = 1_000 * (environmentNumber('KV_SECONDS') ?? (longForm ? 300 : 6))
const [pausedMs, everyMs] = longForm ? [5_000, 20_000] : [5_000, 8_000]
const backMs = 30_000
const sampleMs = 50
/** What a node may say of one that it has not given up. */
const well: ReadonlySet<string> = new Set(['alive', 'suspect'])

/** Whom a node has given up; undefined: it does not answer at once. */
async function givenUp(client: KvClient, address: string): Promise<readonly string[] | undefined> {
  try {
    const { members } = await client.status(address, { timeoutMs: 10 * sampleMs })
    return members.filter(({ liveness }) => !well.has(liveness)).map(({ id }) => id)
  } catch (error) {
    if (error instanceof KvError) return undefined
    throw error
  }
}

/** When the first and when all of `count` nodes have given up a member, in milliseconds from now. */
async function untilGivenUp(
  clients: readonly KvClient[],
  addresses: readonly string[],
  victim: string,
  withinMs: number,
): Promise<{ readonly firstMs: number; readonly allMs: number }> {
  const startedMs = performance.now()
  let firstMs: number | undefined
  for (;;) {
    const told = await Promise.all(clients.map((client, i) => givenUp(client, addresses[i]!)))
    const by = told.filter((whom) => whom?.includes(victim)).length
    const nowMs = performance.now() - startedMs
    if (by > 0) firstMs ??= nowMs
    if (by === addresses.length) return { firstMs: firstMs!, allMs: nowMs }
    if (nowMs > withinMs) throw new Error(`only ${by} of ${addresses.length} have given up ${victim}`)
    await sleep(sampleMs)
  }
}

/** Takes one node after the other away and brings it back, and reports how long the others needed to notice. */
async function measure(
  name: string,
  cluster: TestCluster,
  away: (server: TestServer, i: number) => Promise<void>,
  back: (server: TestServer, i: number) => Promise<void>,
): Promise<void> {
  const { servers, addresses } = cluster
  const draw = random.fork(name)
  const clients = addresses.map((address) => makeClient([address]))
  const firsts: number[] = []
  const alls: number[] = []
  try {
    await untilLinked(clients[0]!, addresses, backMs)
    for (let n = 0; n < kills; n++) {
      // At any moment between two probes.
      await sleep(draw.below(1_500))
      const i = draw.below(servers.length)
      await away(servers[i]!, i)
      const rest = servers.map((_, j) => j).filter((j) => j !== i)
      const restClients = rest.map((j) => clients[j]!)
      const found = await untilGivenUp(
        restClients,
        rest.map((j) => addresses[j]!),
        `n${i + 1}`,
        backMs,
      )
      firsts.push(found.firstMs)
      alls.push(found.allMs)
      await back(servers[i]!, i)
      await untilLinked(restClients[0]!, addresses, backMs)
    }
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
  report.count(`${name}`, kills)
  report.highest(`ms p50 until the first knew (${name})`, Math.round(median(firsts)))
  report.highest(`ms p50 until all knew (${name})`, Math.round(median(alls)))
  report.highest(`ms p99 until all knew (${name})`, Math.round(percentile(alls, 0.99)!))
}

it('a killed process is given up by all others', async () => {
  await using cluster = await startServers(5)
  await measure(
    'processes killed',
    cluster,
    (server) => server.kill(),
    async (server) => {
      server.start()
      await server.ready()
    },
  )
})

it('a host that falls silent is given up by all others', async (context) => {
  const why = whyNoHosts()
  if (why !== undefined) {
    process.stdout.write(`failure detection: no hosts fall silent, ${why}\n`)
    context.skip(why)
  }
  await using hosts = await Hosts.make(5)
  await using cluster = await startServersAt(hosts.places)
  await cluster.whileAllRun(() =>
    measure(
      'hosts silenced',
      cluster,
      (_, i) => hosts.unplug(i),
      () => hosts.heal(),
    ),
  )
})

it('a node that stands still again and again is the only one that is ever given up, by anybody', async () => {
  await using cluster = await startServers(5)
  const { servers, addresses } = cluster
  const draw = random.fork('pauses')
  const clients = addresses.map((address) => makeClient([address]))
  const worker = makeClient(addresses)
  const registers = new Registers({
    random: draw.fork('clients'),
    clients: [worker],
    lanesPerClient: 4,
    hotKeys: 4,
    coldKeys: 40,
    timeoutsMs: [20_000],
    repeatable: true,
  })
  const ending = new AbortController()
  const victim = draw.below(servers.length)
  const seen = new Map<string, number>()
  const watch = async (i: number): Promise<void> => {
    while (!ending.signal.aborted) {
      const whom = await givenUp(clients[i]!, addresses[i]!)
      for (const id of whom ?? []) seen.set(`${id} by n${i + 1}`, (seen.get(`${id} by n${i + 1}`) ?? 0) + 1)
      if (whom !== undefined) report.count('views')
      await sleep(sampleMs)
    }
  }
  try {
    await untilLinked(worker, addresses, backMs)
    const watching = Promise.all(addresses.map((_, i) => watch(i)))
    const working = registers.rounds('r', longForm ? 15_000 : 3_000, ending.signal)
    for (const promise of [watching, working]) promise.catch(() => undefined)
    const endMs = performance.now() + pausesMs
    while (performance.now() < endMs) {
      const startedMs = performance.now()
      await standStill(servers[victim]!)
      await sleep(pausedMs)
      servers[victim]!.signal('SIGCONT')
      report.count('pauses')
      await sleep(Math.max(0, everyMs - (performance.now() - startedMs)))
    }
    await untilLinked(worker, addresses, backMs)
    ending.abort()
    await Promise.all([watching, working])
  } finally {
    ending.abort()
    await Promise.all([worker, ...clients].map((client) => client.close()))
  }
  const name = `n${victim + 1}`
  const others = [...seen].filter(([kind]) => !kind.startsWith(`${name} `))
  report.count(
    'views in which another was given up',
    others.reduce((sum, [, times]) => sum + times, 0),
  )
  report.count('operations returned', registers.returned)
  report.count('violations', registers.violations.length)
  expect(registers.violations, `KV_SEED=${seed}`).toEqual([])
  expect([...registers.failures], `KV_SEED=${seed}`).toEqual([])
  expect(others, `${name} stood still, KV_SEED=${seed}`).toEqual([])
})
