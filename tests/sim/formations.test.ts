import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, test } from 'vitest'
import { SimCluster } from './sim-cluster.js'

/**
 * Lists in which each node but the first names an earlier one, so that all hang together, and any others, also itself.
 * The first may be alone with its own name, or name others.
 */
function lists(random: SimRandom, names: readonly string[]): Map<string, string[]> {
  const others = (): string[] => names.filter(() => random.chance(0.3))
  return new Map(
    names.map((name, i) => {
      if (i === 0) return [name, random.chance(0.5) ? [] : [name, ...others()]]
      return [name, [...new Set([names[random.below(i)]!, ...others()])]]
    }),
  )
}

/** Starts nodes at random times, kills and restarts some while they form or join. All run when it resolves. */
async function stir(cluster: SimCluster, random: SimRandom, peers: ReadonlyMap<string, string[]>): Promise<void> {
  const waiting = [...peers.keys()]
  const started = new Set<string>()
  let crashes = random.below(5)
  while (waiting.length > 0 || crashes > 0) {
    await cluster.world.advance(random.chance(0.5) ? random.below(30) : random.below(3_000))
    const running = [...started].filter((name) => !cluster.fatal.has(name))
    if (waiting.length > 0 && (running.length === 0 || random.chance(0.6))) {
      const [name] = waiting.splice(random.below(waiting.length), 1)
      await cluster.settle(cluster.launch(name!, peers.get(name!)))
      started.add(name!)
    } else if (crashes > 0 && running.length > 0) {
      crashes--
      const name = running[random.below(running.length)]!
      cluster.crash(name, { disk: random.chance(0.5) ? 'lose' : 'keep' })
      await cluster.world.advance(random.below(2_000))
      cluster.process(name).restart()
      await cluster.settle(cluster.launch(name, peers.get(name)))
    } else break
  }
  for (const name of waiting) await cluster.settle(cluster.launch(name, peers.get(name)))
}

test('whatever the lists, the times and the crashes: one cluster, with every node in it, and never two', async () => {
  const sizes: Record<number, number> = {}
  for (let seed = 0; seed < 20; seed++) {
    const random = new SimRandom(`formations ${seed}`)
    const names = Array.from({ length: random.between(2, 5) }, (_, i) => `n${i + 1}`)
    const peers = lists(random, names)
    const cluster = new SimCluster({ seed: `formations ${seed}` })
    await stir(cluster, random, peers)
    const told = JSON.stringify([seed, [...peers]])
    await cluster.world.runUntil(() => {
      const ids = names.map((name) => cluster.node(name).topology?.clusterId)
      expect(new Set(ids.filter((id) => id !== undefined)).size, told).toBeLessThanOrEqual(1)
      expect(
        [...cluster.fatal].map(([name, error]) => `${name}: ${error.message}`),
        told,
      ).toEqual([])
      return names.every((name) => {
        const members = cluster.node(name).topology?.members ?? []
        return members.length === names.length && members.every(({ state }) => state === 'serving')
      })
    }, 120_000)
    await cluster.allConnected()
    await cluster.settle(cluster.put(names.at(-1)!, 'k', 'v'))
    for (const name of names) expect(await cluster.settle(cluster.get(name, 'k')), told).toBe('v')
    const { members } = cluster.node('n1').topology!
    const founders = members.filter(({ since }) => since === 1).length
    sizes[founders] = (sizes[founders] ?? 0) + 1
  }
  const several = Object.keys(sizes).filter((founders) => founders !== '1')
  expect(sizes[1], 'founded by one').toBeGreaterThan(0)
  expect(several, 'founded by several').not.toEqual([])
})
