import { setTimeout as sleep } from 'node:timers/promises'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it } from 'vitest'
import { eventually, makeClient, startKv, startServers } from '../../fixtures.js'
import { longForm, Report, seed } from '../report.js'
import { untilEqual } from './equal-copies.js'
import { SteadyLoad } from './steady-load.js'

const report = new Report('rolling restart')
const random = new SimRandom(seed)
const [nodes, rounds, calmMs, roundMs] = longForm ? [5, 3, 5_000, 10_000] : [3, 1, 1_000, 3_000]
const safeMs = 60_000

/** What a script asks before it stops a node: 0, it may; 1, it may not. */
async function safeToStop(addresses: readonly string[], id: string): Promise<number | null> {
  await using asking = startKv(addresses, ['node', 'safe-to-stop', id])
  const { status } = await asking.end()
  report.count(status === 0 ? 'times safe to stop' : 'times not')
  expect([0, 1], asking.diagnostics).toContain(status)
  return status
}

/** What an operator's script does: one after the other, when the cluster says that it may go. */
it('all nodes restarted, each when it is safe to stop: nobody is told of an error', async () => {
  await using cluster = await startServers(nodes)
  const { servers, addresses } = cluster
  await using client = makeClient(addresses)
  await using load = new SteadyLoad(client, random.fork('load'), roundMs)
  const calm = await load.during(() => sleep(calmMs))
  const restarts = await load.during(async () => {
    for (let i = 0; i < rounds * nodes; i++) {
      const [at, next] = [i % nodes, (i + 1) % nodes]
      const server = servers[at]!
      const id = `n${at + 1}`
      await eventually(`${id} is safe to stop`, async () => (await safeToStop(addresses, id)) === 0, safeMs)
      expect(await server.stop(), id).toEqual({ status: 0, signal: null })
      // Some slot has both, and a third owner only.
      expect(await safeToStop(addresses, `n${next + 1}`), `n${next + 1} as well`).toBe(1)
      server.start()
      await server.ready()
      report.count('restarts')
    }
  })
  await load.end(client, report)
  report.highest('operations/s before', Math.round(calm.perSecond))
  report.highest('operations/s meanwhile', Math.round(restarts.perSecond))
  report.highest('ms p99 before', Math.round(calm.p99Ms))
  report.highest('ms p99 meanwhile', Math.round(restarts.p99Ms))
  await untilEqual(client, addresses, safeMs)
})
