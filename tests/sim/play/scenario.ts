import { SimRandom } from '@quorumkv/internal/env-sim'
import type { ReplicationSettings } from '@quorumkv/internal/slots'

/** What can go wrong. A scenario has a weight for each, 0 for those that it leaves out. */
export const faultKinds = [
  'crash',
  'powerCut',
  'cutInWrite',
  'crashAll',
  'stop',
  'pause',
  'slowReader',
  'partition',
  'cutOneWay',
  'breakLinks',
  'halfOpenLink',
  'slowPath',
  'jitter',
  'lossyNetwork',
  'skew',
  'clockFarOff',
  'drift',
  'farClient',
  'slowDisk',
  'shortTransfers',
  'fullDisk',
  'syncFails',
  'rot',
  'misdirectedWrite',
  'snapshot',
  'snapshotInWrite',
  'leaveBehind',
  'longCut',
  'wipe',
] as const
export type FaultKind = (typeof faultKinds)[number]

/** Relative weights of what clients do. */
export interface Mix {
  readonly read: number
  readonly write: number
  readonly delete: number
  /** Two writes of one key in the same instant, through two nodes. */
  readonly twin: number
  readonly scan: number
  /** Entries that expire. */
  readonly expiring: number
  /** Keys that are written and read at consistency `one`. */
  readonly one: number
  /** Keys that are written at `all` and read at `one`. */
  readonly all: number
}

/** A quiet stretch between two bursts of faults. */
export interface Lull {
  /** Nobody asks for anything, and nothing new goes wrong, for so long. */
  readonly quietMs: number
  /** The node, by its place, that is switched off all the while; undefined: none. */
  readonly away: number | undefined
}

/** What is done to the members of a cluster while it serves. A scenario has a weight for each. */
export const changeKinds = [
  'join',
  'leave',
  'remove',
  'replaceDead',
  'replaceLive',
  'reweight',
  'move',
  'cancel',
] as const
export type ChangeKind = (typeof changeKinds)[number]

/** How the members of a cluster change while it is played. */
export interface Changes {
  readonly weights: Readonly<Record<ChangeKind, number>>
  readonly everyMs: number
  /** How often several things are asked for in the same instant. */
  readonly several: number
  /** No more nodes than this, those that have not come yet included. */
  readonly nodesMax: number
  /** So many that vote and are not about to go are always left. */
  readonly stayMin: number
  readonly streamBytesPerSecond: number
}

/** Everything that a seed decides about a run before it starts. */
export interface Scenario {
  readonly seed: number
  readonly nodes: number
  readonly replication: ReplicationSettings
  readonly clients: number
  readonly keys: number
  /** One key at a time is written, for so long; the others rest, and what was deleted of them is collected. 0: all are. */
  readonly seasonMs: number
  readonly mix: Mix
  /** Which part of the reads is followed by one through another node at once. */
  readonly followed: number
  /** Which part of the reads of what is there is made by a scan of its slot. */
  readonly scanned: number
  /** Which part of the writes is repeated on another node as the SDK does it, until one is acknowledged. */
  readonly repeated: number
  readonly valueBytesMax: number
  /** A client waits up to so long between two operations, sometimes not at all. */
  readonly thinkMsMax: number
  readonly latencyMs: readonly [number, number]
  readonly faults: Readonly<Record<FaultKind, number>>
  readonly faultEveryMs: number
  /** How long faults go on, in all bursts together; then they stop, and the cluster must recover. */
  readonly faultsMs: number
  /** Between bursts of faults that are alike in length; none: one burst. */
  readonly lulls: readonly Lull[]
  /** A node that went down comes back after at most so long. */
  readonly downMsMax: number
  readonly logSegmentBytes: number
  readonly logPreallocateBytes: number
  readonly snapshotWalBytes: number
  readonly snapshotIntervalMs: number
  readonly maxClockDriftMs: number
  /**
   * Damage to disks leaves one good copy and a quorum: one node at a time has any, until it has been mended (the
   * "fault atlas" of TigerBeetle's VOPR). false: anything may be damaged, and the run only checks that nothing is
   * told which nobody wrote, and that no node dies of a bug.
   */
  readonly atlas: boolean
  /** Undefined: the members stay who they are. */
  readonly changes: Changes | undefined
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

function drawLulls(random: SimRandom, nodes: number, atlas: boolean): Lull[] {
  // What is damaged at will may never be whole again.
  const count = atlas ? random.pick([0, 1, 1, 2]) : 0
  return Array.from({ length: count }, () => {
    const quietMs = random.between(30_000, 300_000)
    const isAway = nodes > 1 && random.chance(0.4)
    return { quietMs, away: isAway ? random.below(nodes) : undefined }
  })
}

function drawMix(random: SimRandom): Mix {
  return {
    read: random.between(0.2, 1),
    write: random.between(0.2, 1),
    delete: random.chance(0.7) ? random.between(0.02, 0.3) : 0,
    twin: random.chance(0.4) ? random.between(0.05, 0.3) : 0,
    // A scan asks for 4,096 slots, and costs as much as some hundred reads.
    scan: random.chance(0.2) ? random.between(0.002, 0.008) : 0,
    expiring: random.chance(0.5) ? random.between(0.05, 0.3) : 0,
    one: random.chance(0.3) ? random.between(0.05, 0.3) : 0,
    all: random.chance(0.3) ? random.between(0.05, 0.3) : 0,
  }
}

/**
 * Draws a scenario. Each seed leaves out about half of the faults and turns the others up or down ("swarm testing",
 * Groce and others, 2012): a run in which everything goes wrong all the time seldom gets deep into any one corner.
 */
export function drawScenario(seed: number, atlas = true, changing = false): Scenario {
  const drawn = drawFixed(seed, atlas)
  return changing ? { ...drawn, changes: drawChanges(drawn) } : drawn
}

/** Drawn apart, so that plays of members that stay are what they were. */
function drawChanges({ seed, nodes, replication, keys, valueBytesMax, faults }: Scenario): Changes {
  const random = new SimRandom(seed).fork('changes')
  const weights = Object.fromEntries(
    changeKinds.map((kind) => [kind, random.chance(0.7) ? random.between(0.2, 1) : 0]),
  ) as Record<ChangeKind, number>
  weights.join = random.between(0.6, 1.2)
  weights.leave = random.between(0.4, 1)
  weights.move *= 0.5
  weights.cancel *= 0.5
  // With a read quorum of one a dead member could answer reads by itself for all that anybody knows, and must not be given up.
  if (replication.readQuorum < 2) {
    weights.remove = 0
    weights.replaceDead = 0
  }
  const damaged = faults.rot + faults.misdirectedWrite + faults.wipe + faults.leaveBehind > 0
  // Fewer owners than there should be have fewer copies to lose.
  const stayMin = damaged ? Math.max(nodes, 1) : Math.max(1, Math.min(nodes, 2 + random.below(2)))
  const dataBytes = 4 * keys * valueBytesMax + 4_096
  return {
    weights,
    everyMs: random.pick([2_000, 5_000, 10_000]),
    several: random.pick([0, 0.2, 0.5]),
    nodesMax: nodes + 1 + random.below(nodes < 5 ? 3 : 2),
    stayMin,
    streamBytesPerSecond: random.pick([67_108_864, Math.ceil(dataBytes / random.between(1, 8))]),
  }
}

function drawFixed(seed: number, atlas: boolean): Scenario {
  const random = new SimRandom(seed).fork('scenario')
  const [nodes, replicationFactor, readQuorum, writeQuorum] = random.pick(settings)
  const faults = Object.fromEntries(
    faultKinds.map((kind) => [kind, random.chance(0.5) ? random.between(0.2, 1) : 0]),
  ) as Record<FaultKind, number>
  // Until a wiped node has all its data back no other disk is damaged: more of it would leave room for nothing else. The
  // others must be able to agree without it, and have what it had.
  if (nodes < 3) faults.wipe = 0
  else faults.wipe *= 0.3
  // As much.
  faults.leaveBehind *= 0.3
  // Nothing else happens meanwhile.
  faults.longCut *= 0.1
  const low = random.pick([0.05, 0.05, 0.5, 5])
  const clients = 2 + random.below(7)
  const faultsMs = random.between(20_000, 160_000)
  const operations = random.pick([300, 1_000, 3_000])
  return {
    seed,
    nodes,
    replication: { replicationFactor, readQuorum, writeQuorum },
    clients,
    keys: random.pick([1, 2, 3, 1 + random.below(10)]),
    seasonMs: random.pick([0, 0, 4_000, 15_000]),
    mix: drawMix(random),
    followed: random.pick([0, 0.3]),
    scanned: random.pick([0, 0.2]),
    repeated: random.pick([0, 0.5, 1]),
    valueBytesMax: random.pick([16, 16, 200, 5_000, operations > 300 ? 2_000 : 60_000]),
    thinkMsMax: (3 * clients * faultsMs) / operations,
    latencyMs: [low, low * random.between(2, 20)],
    faults,
    faultEveryMs: random.pick([150, 500, 2_000]),
    faultsMs,
    downMsMax: random.pick([200, 5_000, 15_000]),
    logSegmentBytes: random.pick([1_024, 4_096, 16_384, 67_108_864]),
    logPreallocateBytes: random.pick([512, 65_536]),
    snapshotWalBytes: random.pick([0, 8_192, 65_536]),
    snapshotIntervalMs: random.pick([0, 5_000, 60_000]),
    maxClockDriftMs: random.pick([500, 2_000, 10_000]),
    lulls: drawLulls(random, nodes, atlas),
    atlas,
    changes: undefined,
  }
}
