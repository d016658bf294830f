import type { SimProcess, SimRandom } from '@quorumkv/internal/env-sim'
import type { SimCluster } from '../sim-cluster.js'
import type { FaultKind } from './scenario.js'

/** What faults do to a node and, where two are needed, to another one. */
export type Deeds<Kind extends FaultKind> = Readonly<Record<Kind, (node: SimProcess, other: SimProcess) => void>>

export type NetworkFault =
  | 'partition'
  | 'cutOneWay'
  | 'breakLinks'
  | 'halfOpenLink'
  | 'slowPath'
  | 'jitter'
  | 'lossyNetwork'

/** What goes wrong between nodes. `later` mends it within so long, unless everything has been mended before. */
export function networkDeeds(
  cluster: SimCluster,
  random: SimRandom,
  later: (withinMs: number, act: () => void) => void,
): Deeds<NetworkFault> {
  const { network } = cluster.world
  return {
    partition: () => {
      const sides: [string[], string[]] = [[], []]
      // Who is in neither sees both: a partition that is not transitive.
      for (const { name } of cluster.processes) sides[random.below(3)]?.push(name)
      network.partition(sides)
      later(15_000, () => network.heal())
    },
    cutOneWay: (node, other) => {
      network.cut(node.name, other.name)
      later(15_000, () => network.heal())
    },
    breakLinks: (node, other) => network.cutLinks(node.name, other.name),
    halfOpenLink: (node, other) => network.cutLinks(node.name, other.name, 'first'),
    slowPath: (node, other) => {
      network.setExtraDelayMs(node.name, other.name, random.pick([5, 100, 1_000, 4_000]))
      later(15_000, () => network.setExtraDelayMs(node.name, other.name, 0))
    },
    // Each link keeps its order; what goes over different ones overtakes.
    jitter: () => {
      const { processes } = cluster
      const delayMsMax = random.pick([2, 50, 500])
      for (const from of processes) {
        for (const to of processes) {
          if (from === to) continue
          network.setExtraDelayMs(from.name, to.name, random.between(0, delayMsMax))
          later(10_000, () => network.setExtraDelayMs(from.name, to.name, 0))
        }
      }
    },
    lossyNetwork: () => {
      network.setBreakProbability(random.between(0.0005, 0.02))
      later(10_000, () => network.setBreakProbability(0))
    },
  }
}
