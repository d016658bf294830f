import { SimRandom } from '@quorumkv/internal/env-sim'
import type { ReplicationSettings } from '@quorumkv/internal/slots'

/** What can go wrong. A scenario has a weight for each, 0 for those that it leaves out. */
export const faultKinds = [
  'crash',
  'powerCut',
  'pause',
  'partition',
  'cutOneWay',
  'breakLinks',
  'halfOpenLink',
  'slowPath',
  'lossyNetwork',
  'skew',
  'clockFarOff',
  'drift',
  'slowDisk',
  'shortTransfers',
  'fullDisk',
  'syncFails',
  'snapshot',
] as const
export type FaultKind = (typeof faultKinds)[number]

/** Everything that a seed decides about a run before it starts. */
export interface Scenario {
  readonly seed: number
  readonly nodes: number
  readonly replication: ReplicationSettings
  readonly clients: number
  readonly keys: number
  /** Relative weights. */
  readonly mix: {
    readonly read: number
    readonly write: number
    readonly delete: number
    readonly scan: number
    readonly expiring: number
  }
  readonly valueBytesMax: number
  /** A client waits up to so long between two operations, sometimes not at all. */
  readonly thinkMsMax: number
  readonly latencyMs: readonly [number, number]
  readonly faults: Readonly<Record<FaultKind, number>>
  readonly faultEveryMs: number
  /** How long faults go on; then they stop, and the cluster must recover. */
  readonly faultsMs: number
  readonly logSegmentBytes: number
  readonly snapshotWalBytes: number
  readonly snapshotIntervalMs: number
  readonly maxClockDriftMs: number
}

/** N, R, W with R + W > N and 2 W > N. */
const settings: readonly (readonly [number, number, number, number])[] = [
  [3, 3, 2, 2],
  [3, 3, 2, 2],
  [3, 3, 1, 3],
  [3, 3, 2, 3],
  [4, 3, 2, 2],
  [5, 3, 2, 2],
  [5, 5, 3, 3],
  [5, 5, 2, 4],
  [2, 2, 1, 2],
  [1, 1, 1, 1],
]

/**
 * Draws a scenario. Each seed leaves out about half of the faults and turns the others up or down ("swarm testing",
 * Groce and others, 2012): a run in which everything goes wrong all the time seldom gets deep into any one corner.
 */
export function drawScenario(seed: number): Scenario {
  const random = new SimRandom(seed).fork('scenario')
  const [nodes, replicationFactor, readQuorum, writeQuorum] = random.pick(settings)
  const faults = Object.fromEntries(
    faultKinds.map((kind) => [kind, random.chance(0.5) ? random.between(0.2, 1) : 0]),
  ) as Record<FaultKind, number>
  const low = random.pick([0.05, 0.05, 0.5, 5])
  const clients = 2 + random.below(7)
  const faultsMs = random.between(20_000, 90_000)
  const operations = random.pick([300, 1_000, 3_000])
  return {
    seed,
    nodes,
    replication: { replicationFactor, readQuorum, writeQuorum },
    clients,
    keys: 1 + random.below(10),
    mix: {
      read: random.between(0.2, 1),
      write: random.between(0.2, 1),
      delete: random.chance(0.7) ? random.between(0.02, 0.3) : 0,
      // A scan asks for 4,096 slots, and costs as much as some hundred reads.
      scan: random.chance(0.3) ? random.between(0.002, 0.01) : 0,
      expiring: random.chance(0.5) ? random.between(0.05, 0.3) : 0,
    },
    valueBytesMax: random.pick([16, 16, 200, 5_000]),
    thinkMsMax: (3 * clients * faultsMs) / operations,
    latencyMs: [low, low * random.between(2, 20)],
    faults,
    faultEveryMs: random.pick([150, 500, 2_000]),
    faultsMs,
    logSegmentBytes: random.pick([4_096, 16_384, 67_108_864]),
    snapshotWalBytes: random.pick([0, 8_192, 65_536]),
    snapshotIntervalMs: random.pick([0, 5_000, 60_000]),
    maxClockDriftMs: random.pick([500, 2_000, 10_000]),
  }
}
