import { type KvClient, KvError } from '@quorumkv/client'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it } from 'vitest'
import { eventually, makeClient, startServers, type TestServer } from '../../fixtures.js'
import { longForm, Report, seed } from '../report.js'
import { Latencies, median } from './latencies.js'
import { standStill } from './nemesis.js'

const report = new Report('one of three away')
const random = new SimRandom(seed)
const calmSeconds = longForm ? 10 : 2
const awaySeconds = longForm ? 20 : 4
const lanes = 16
const keys = 1_000

/** Reads and writes, one at a time, until `signal` ends them; notes what fails. */
async function lane(
  client: KvClient,
  draw: SimRandom,
  latencies: Latencies,
  errors: string[],
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const key = `k${draw.below(keys)}`
    const startedMs = performance.now()
    try {
      if (draw.chance(0.5)) await client.get(key)
      else await client.put(key, 'x'.repeat(100))
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      errors.push(`${error.code} ${error.outcome} ${error.message}`)
    }
    latencies.ended(startedMs)
  }
}

const manners: [manner: string, remove: (server: TestServer) => Promise<void>][] = [
  ['killed', (server) => server.kill()],
  ['stopped', standStill],
]

it.each(manners)('with one node %s reads and writes at quorum go on without an error', async (manner, remove) => {
  await using cluster = await startServers(3)
  await using client = makeClient(cluster.addresses)
  const latencies = new Latencies()
  const errors: string[] = []
  const ending = new AbortController()
  const draw = random.fork(manner)
  const running = Array.from({ length: lanes }, (_, i) =>
    lane(client, draw.fork(`${i}`), latencies, errors, ending.signal),
  )
  await eventually('calm seconds', () => latencies.seconds >= calmSeconds)
  const goneAt = latencies.seconds
  await remove(draw.pick(cluster.servers))
  await eventually('seconds without it', () => latencies.seconds >= goneAt + awaySeconds, 1_000 * awaySeconds + 30_000)
  ending.abort()
  await Promise.all(running)

  // The first second warms up. Figures are told, not judged: on a busy machine they say more about it than about us.
  const p99s = latencies.p99s()
  const beforeMs = median(p99s.slice(1, goneAt))
  const after = p99s.slice(goneAt, goneAt + awaySeconds)
  const calmAgain = after.findLastIndex((ms) => ms >= 2 * beforeMs) + 1
  report.count(`operations (${manner})`, latencies.count)
  report.highest(`ms p99 before (${manner})`, Math.round(beforeMs))
  report.highest(`s until p99 stays below twice that (${manner})`, calmAgain)
  const perSecond = p99s.map((ms, i) => `${i === goneAt ? '| ' : ''}${ms.toFixed(1)}`).join(' ')
  if (longForm) process.stdout.write(`p99 in ms by second, one ${manner} at the bar: ${perSecond}\n`)
  expect(errors).toEqual([])
})
