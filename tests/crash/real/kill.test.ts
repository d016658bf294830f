import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it } from 'vitest'
import { makeClient, startServer, startServers, type TestServer } from '../../fixtures.js'
import { longForm, Report, seed } from '../report.js'
import { Load } from './load.js'

const report = new Report('kill -9 of real processes')
const random = new SimRandom(seed)
/** The smallest: several snapshots, each with its trim of the log, in the life of one process. */
const flags = ['--snapshot-wal-bytes', '1MiB']

interface Cycles {
  readonly load: Load
  readonly servers: readonly TestServer[]
  readonly random: SimRandom
  readonly count: number
  /** Who is killed in one cycle. */
  readonly victims: () => readonly TestServer[]
}

/** Kills, starts again and checks every key, so many times over the same data. */
async function killAndCheck({ load, servers, random, count, victims }: Cycles): Promise<void> {
  const addresses = servers.map(({ address }) => address)
  let client = makeClient(addresses)
  try {
    for (let cycle = 0; cycle < count; cycle++) {
      load.run(client)
      await load.progress(1 + random.below(400))
      await sleep(random.below(200))
      // Half of the callers die with the node: what they were at stays in doubt. The other half try again until it is
      // back, so what they were at is acknowledged by another life than the one that took it first.
      const persistent = random.chance(0.5)
      const killed = victims()
      await Promise.all(killed.map((server) => server.kill()))
      if (!persistent) await client.close()
      const startedMs = performance.now()
      for (const server of killed) server.start()
      await Promise.all(killed.map((server) => server.ready()))
      report.highest('ms to restart at most', Math.round(performance.now() - startedMs))
      if (persistent) await load.progress(1)
      await load.pause()
      if (!persistent) client = makeClient(addresses)
      expect(await load.check(client), `KV_SEED=${seed}, cycle ${cycle}`).toEqual([])
      report.count('kills', killed.length)
    }
    report.count('acknowledged operations checked', load.checked)
    report.count('attempts in doubt', load.failed('closed'))
    expect(load.checked).toBe(load.acknowledged)
    // Every node came back at once, so nobody who waited for it waits in vain.
    expect(load.failed('timeout')).toBe(0)
  } finally {
    await client.close()
  }
}

/** Highest number of a segment of the log so far. */
function lastSegment(server: TestServer): number {
  const names = readdirSync(join(server.dataDir, 'log')).filter((name) => name.endsWith('.log'))
  return Math.max(...names.map((name) => Number.parseInt(name, 10)))
}

function snapshots(server: TestServer): number {
  return readdirSync(join(server.dataDir, 'snapshots')).filter((name) => name.endsWith('.snapshot')).length
}

it('one node killed under load over and over: every acknowledged operation is there, every deletion holds', async () => {
  const draw = random.fork('one')
  await using server = await startServer({ flags })
  // Large enough to fill several segments of the log, so that segments end, and are dropped, while processes die.
  const load = new Load({ random: draw.fork('load'), writers: 16, keysPerWriter: 32, valueCharsMax: 60_000 })
  const count = longForm ? 300 : 6
  await killAndCheck({ load, servers: [server], random: draw, count, victims: () => [server] })
  expect(snapshots(server), 'snapshots are taken between the kills').toBeGreaterThan(0)
  report.highest('segments of one log', lastSegment(server))
})

it('three nodes, any of them or all killed under load over and over: nothing acknowledged is lost', async () => {
  const draw = random.fork('three')
  await using cluster = await startServers(3, { flags })
  const { servers } = cluster
  const load = new Load({ random: draw.fork('load'), writers: 16, keysPerWriter: 64, valueCharsMax: 8_000 })
  const victims = (): readonly TestServer[] => {
    const first = draw.below(3)
    return [1, 2, 3].slice(0, draw.pick([1, 1, 2, 3])).map((_, i) => servers[(first + i) % 3]!)
  }
  await killAndCheck({ load, servers, random: draw, count: longForm ? 150 : 4, victims })
})
