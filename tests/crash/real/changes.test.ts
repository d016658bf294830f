import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterTopology, KvClient } from '@quorumkv/client'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it } from 'vitest'
import { eventually, freePorts, makeClient, startKv, startServers, TestServer } from '../../fixtures.js'
import { longForm, Report, seed } from '../report.js'
import { untilEqual, untilLinked, untilTidy } from './equal-copies.js'
import { loads, moved } from './ownership.js'
import { damagedRecords, readRecords, recordsPath } from './records.js'
import { SteadyLoad, type Stretch } from './steady-load.js'

const report = new Report('a cluster that changes')
const random = new SimRandom(seed)
const [calmMs, roundMs] = longForm ? [10_000, 10_000] : [1_500, 3_000]
const changeMs = longForm ? 600_000 : 60_000
/** No node owns more than this over its fair share, and so much of it moves to a newcomer at most. */
const [overFair, overMoved] = [1.05, 1.25] as const

/** Servers by name, while they come and go. */
class Servers implements AsyncDisposable {
  readonly #byName = new Map<string, TestServer>()

  constructor(first: readonly TestServer[]) {
    for (const [i, server] of first.entries()) this.#byName.set(`n${i + 1}`, server)
  }

  get addresses(): string[] {
    return [...this.#byName.values()].map(({ address }) => address)
  }

  get names(): string[] {
    return [...this.#byName.keys()]
  }

  get(name: string): TestServer {
    return this.#byName.get(name)!
  }

  /** Starts one that asks these to be taken in. */
  async add(name: string): Promise<void> {
    const [port] = await freePorts(1)
    const server = new TestServer({ port: port!, id: name, peers: this.addresses })
    this.#byName.set(name, server)
    await server.ready()
  }

  /** Waits for the end of one that has left. */
  async drop(name: string): Promise<void> {
    expect(await this.get(name).end(), `the end of ${name}`).toEqual({ status: 0, signal: null })
    this.#byName.delete(name)
  }

  /** `kill -9`; what was on its disk is gone, and it never comes back. */
  async lose(name: string): Promise<void> {
    await this.get(name).kill()
    rmSync(this.get(name).dataDir, { recursive: true })
    this.#byName.delete(name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#byName.values()].map((server) => server[Symbol.asyncDispose]()))
  }
}

/** Waits until just these serve, everybody knows it, and nothing goes on any more. */
async function untilServing(client: KvClient, servers: Servers): Promise<ClusterTopology> {
  const names = [...servers.names].sort()
  let topology = await client.topology()
  await eventually(
    `${names.join(', ')} serve`,
    async () => {
      topology = await client.topology()
      const { members } = topology
      const ids = members.map(({ id }) => id).sort()
      const owners = loads(topology)
      return (
        ids.join() === names.join() &&
        members.every(({ id, state }) => state === 'serving' && (owners.get(id) ?? 0) > 0)
      )
    },
    changeMs,
  )
  await untilLinked(client, servers.addresses, changeMs)
  const fair = [...loads(topology).values()].reduce((sum, load) => sum + load, 0) / names.length
  for (const [id, load] of loads(topology)) {
    expect(load, `slots of ${id}, fair are ${fair}`).toBeLessThanOrEqual(Math.ceil(overFair * fair))
    report.highest('% of a fair share at most', Math.round((100 * load) / fair))
  }
  return topology
}

/** What an operator types, who does not wait to be asked. */
async function kvNode(servers: Servers, ...argv: readonly string[]): Promise<void> {
  await using kv = startKv(servers.addresses, ['node', ...argv, '--yes'])
  await eventually(`kv node ${argv.join(' ')}`, () => !kv.runs, changeMs)
  expect((await kv.end()).status, `kv node ${argv.join(' ')}\n${kv.output}\n${kv.diagnostics}`).toBe(0)
}

async function wipe(client: KvClient, victim: TestServer): Promise<void> {
  await victim.kill()
  rmSync(victim.dataDir, { recursive: true })
  victim.start()
  await victim.ready()
  const lost = async (): Promise<number> => (await client.status(victim.address)).storage.lostSlots
  await eventually('it is refilled', async () => (await lost()) === 0, changeMs)
}

/** Figures are told, not judged: on a busy machine they say more about it than about us. */
function tell(name: string, calm: Stretch, change: Stretch): void {
  report.highest(`ms (${name})`, Math.round(change.ms))
  report.highest(`operations/s (${name})`, Math.round(change.perSecond))
  report.highest(`% of before (${name})`, Math.round((100 * change.perSecond) / calm.perSecond))
  report.highest(`ms p99 (${name})`, Math.round(change.p99Ms))
}

it('members join, lose their disks, are replaced and leave: no operation fails, every key stays one register, no record is lost', async () => {
  await using cluster = await startServers(3)
  await using servers = new Servers(cluster.servers)
  await using client = makeClient(servers.addresses)
  const records = readRecords(recordsPath)
  await using importing = startKv(servers.addresses, ['import', recordsPath, '--no-resume'])
  await eventually('the records are imported', () => !importing.runs, changeMs)
  expect((await importing.end()).status, importing.diagnostics).toBe(0)
  report.count('records', records.size)
  await using load = new SteadyLoad(client, random.fork('load'), roundMs)
  // The first moments warm up.
  await sleep(calmMs / 2)
  const calm = await load.during(() => sleep(calmMs))
  report.highest('operations/s before', Math.round(calm.perSecond))
  report.highest('ms p99 before', Math.round(calm.p99Ms))

  const join = async (name: string): Promise<ClusterTopology> => {
    await servers.add(name)
    return await untilServing(client, servers)
  }
  const three = await client.topology()
  let four = three
  tell('joining, 3 → 4', calm, await load.during(async () => (four = await join('n4'))))
  const share = moved(three, four)
  report.highest('‰ of all copies moved, 3 → 4', Math.round(1_000 * share))
  expect(share).toBeLessThanOrEqual(overMoved / 4)
  if (longForm) {
    const joinAmidKills = async (): Promise<void> => {
      const joining = join('n5')
      joining.catch(() => undefined)
      for (const name of ['n3', 'n5', 'n1', 'n5']) {
        await sleep(2_000)
        await servers.get(name).restart()
        report.count('kills of members meanwhile')
      }
      await joining
    }
    tell('joining, 4 → 5', calm, await load.during(joinAmidKills))
    tell('wiped', calm, await load.during(() => wipe(client, servers.get('n2'))))
    await untilServing(client, servers)
    const replace = async (): Promise<void> => {
      await servers.lose('n3')
      const replacing = kvNode(servers, 'replace', 'n3', '--by', 'n6')
      replacing.catch(() => undefined)
      await servers.add('n6')
      await replacing
      await untilServing(client, servers)
    }
    tell('replaced', calm, await load.during(replace))
    expect(await damagedRecords(client, records)).toEqual([])
  }
  // The second waits for its turn.
  const leavers = longForm ? ['n4', 'n1'] : ['n1']
  const leave = async (): Promise<void> => {
    await Promise.all(leavers.map((name) => kvNode(servers, 'decommission', name)))
    for (const name of leavers) await servers.drop(name)
    await untilServing(client, servers)
  }
  tell('leaving, to 3', calm, await load.during(leave))
  tell('afterwards', calm, await load.during(() => sleep(calmMs)))
  await load.end(client, report)
  expect(await damagedRecords(client, records)).toEqual([])
  await untilEqual(client, servers.addresses, changeMs)
  await untilTidy(client, servers.addresses, changeMs)
})
