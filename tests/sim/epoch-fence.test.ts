import { emptyBytes } from '@quorumkv/internal/base'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

/** One page, which the test does not wait for. */
function scan(cluster: SimCluster, via: string): Promise<unknown> {
  const deadlineMs = cluster.process(via).life.clock.monotonicMs() + 5_000
  const options = { consistency: 'quorum', deadlineMs, prefix: emptyBytes, cursor: emptyBytes, pageSize: 50 } as const
  return cluster.node(via).scan(options)
}

/** Operations of all kinds at these nodes, one each `everyMs`, until stopped; what failed, and how many there were. */
function load(cluster: SimCluster, names: readonly string[], everyMs: number): { stop(): Promise<[number, string[]]> } {
  const failures: string[] = []
  const running: Promise<unknown>[] = []
  let stopped = false
  const operate = (i: number): Promise<unknown> => {
    const via = names[i % names.length]!
    const key = `k${i % 37}`
    if (i % 97 === 0) return scan(cluster, via)
    if (i % 5 < 2) return cluster.get(via, key)
    return i % 7 === 0 ? cluster.delete(via, key) : cluster.put(via, key, `v${i}`)
  }
  const clock = cluster.process(names[0]!).life.clock
  const next = (): void => {
    if (stopped) return
    const at = `operation ${running.length} at ${Math.round(cluster.world.nowMs)} ms`
    running.push(operate(running.length).catch((error: Error) => failures.push(`${at}: ${error.message}`)))
    clock.setTimer(everyMs, next)
  }
  next()
  const stop = async (): Promise<[number, string[]]> => {
    stopped = true
    await cluster.settle(Promise.all(running))
    return [running.length, failures]
  }
  return { stop }
}

test('a member that comes back as a new incarnation changes the topology under load: no operation fails', async () => {
  for (let seed = 1; seed <= 3; seed++) {
    const cluster = await SimCluster.start({ seed: `fence ${seed}` })
    cluster.crash('n2')
    await cluster.world.advance(5_000)
    const clients = load(cluster, ['n1', 'n3'], 1)
    cluster.process('n2').restart()
    cluster.wipe('n2')
    await cluster.startNode('n2')
    await cluster.world.runUntil(() => cluster.node('n2').phase === 'serving', 30_000)
    await cluster.allConnected()
    await cluster.world.advance(1_000)
    const [operations, failures] = await clients.stop()
    expect(cluster.node('n1').topology!.epoch).toBe(2)
    expect(cluster.node('n3').topology!.epoch).toBe(2)
    expect(failures).toEqual([])
    expect(operations).toBeGreaterThan(800)
  }
})
