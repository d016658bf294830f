import { type KvClient, KvError } from '@quorumkv/client'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it } from 'vitest'
import { eventually, makeClient, startServers, type TestServer } from '../../fixtures.js'
import { longForm, Report, seed } from '../report.js'
import { standStill } from './nemesis.js'

const report = new Report('one of three away')
const random = new SimRandom(seed)
const calmSeconds = longForm ? 10 : 2
const awaySeconds = longForm ? 20 : 4
const lanes = 16
const keys = 1_000

/** How long operations took, in milliseconds, by the second in which they ended. */
class Latencies {
  readonly errors: string[] = []
  readonly #seconds: number[][] = []
  readonly #startedMs = performance.now()
  #stopped = false

  async lane(client: KvClient, draw: SimRandom): Promise<void> {
    while (!this.#stopped) {
      const key = `k${draw.below(keys)}`
      const startedMs = performance.now()
      try {
        if (draw.chance(0.5)) await client.get(key)
        else await client.put(key, 'x'.repeat(100))
      } catch (error) {
        if (!(error instanceof KvError)) throw error
        this.errors.push(`${error.code} ${error.outcome} ${error.message}`)
      }
      const endedMs = performance.now()
      const second = Math.floor((endedMs - this.#startedMs) / 1_000)
      for (let i = this.#seconds.length; i <= second; i++) this.#seconds.push([])
      this.#seconds[second]!.push(endedMs - startedMs)
    }
  }

  stop(): void {
    this.#stopped = true
  }

  /** Whole seconds that have been measured. */
  get seconds(): number {
    return Math.floor((performance.now() - this.#startedMs) / 1_000)
  }

  /** The p99 of each whole second, in milliseconds; infinity where nothing ended. */
  p99s(): number[] {
    return this.#seconds.map((each) => [...each].sort((a, b) => a - b)[Math.floor(each.length * 0.99)] ?? Infinity)
  }

  get count(): number {
    return this.#seconds.reduce((sum, each) => sum + each.length, 0)
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

const manners: [manner: string, remove: (server: TestServer) => Promise<void>][] = [
  ['killed', (server) => server.kill()],
  ['stopped', standStill],
]

it.each(manners)('with one node %s reads and writes at quorum go on without an error', async (manner, remove) => {
  await using cluster = await startServers(3)
  await using client = makeClient(cluster.addresses)
  const latencies = new Latencies()
  const draw = random.fork(manner)
  const running = Array.from({ length: lanes }, (_, i) => latencies.lane(client, draw.fork(`${i}`)))
  await eventually('calm seconds', () => latencies.seconds >= calmSeconds)
  const goneAt = latencies.seconds
  await remove(draw.pick(cluster.servers))
  await eventually('seconds without it', () => latencies.seconds >= goneAt + awaySeconds, 1_000 * awaySeconds + 30_000)
  latencies.stop()
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
  expect(latencies.errors).toEqual([])
})
