import type { ObservedEvent, SimProcess, SimRandom } from '@quorumkv/internal/env-sim'
import type { SimCluster } from '../sim-cluster.js'

/** Of the bytes that a disk is asked to move: less than this is no commit. */
const commitBytesMin = 40
/** A sync takes up to a millisecond: within this after a write it is under way. */
const midSyncMsMax = 0.6
/** How long one node is cut off, so that it misses something, and how slow its way to those who have it is afterwards. */
const awayMs = [300, 4_000] as const
const slowWayMs = [500, 4_000] as const
const apartMs = 8_000
/** Long enough for tombstones to be collected (`floorTuning` of the run), where clocks are held to be close. */
const longCutMs = [10_000, 25_000] as const
const restMs = 2_000

/** What the plots need of the nemesis. */
export interface Accomplice {
  readonly cluster: SimCluster
  readonly random: SimRandom
  readonly over: boolean
  powerCut(process: SimProcess, disk: 'lose' | 'tear'): void
  kill(process: SimProcess): void
  /** No further faults for so long. */
  rest(forMs: number): void
  /** Takes data from a node's disk, if the atlas allows it, and brings it back at once. */
  ruin(process: SimProcess): void
}

/** Faults that chance alone would seldom place: in the middle of a write, or where two of them meet. */
export class Plots {
  readonly #with: Accomplice
  /** What happens when this node's disk is used next. */
  #armed: { readonly name: string; readonly act: () => void } | undefined

  constructor(accomplice: Accomplice) {
    this.#with = accomplice
  }

  /** To be told of every event before it happens. */
  sees({ kind, owner, detail }: ObservedEvent): void {
    if (this.#armed === undefined || kind !== 'disk' || detail < commitBytesMin) return
    const { name, act } = this.#armed
    if (owner !== name && !owner.startsWith(`${name}#`)) return
    this.#armed = undefined
    const { cluster, random } = this.#with
    cluster.world.after(random.between(0, midSyncMsMax), () => {
      if (!this.#with.over) act()
    })
  }

  /** The power goes while a write is on its way to the medium: a part of it may be there. */
  cutInWrite(node: SimProcess): void {
    this.#armed = {
      name: node.name,
      act: () => this.#with.powerCut(node, this.#with.random.chance(0.7) ? 'tear' : 'lose'),
    }
  }

  /** A snapshot begins while a group is being committed, and may soon be all that a start goes by. */
  snapshotInWrite(node: SimProcess): void {
    const { cluster, random } = this.#with
    const act = (): void => {
      if (!cluster.runningNames.includes(node.name)) return
      const { life } = node
      cluster
        .node(node.name)
        .snapshot()
        .then(
          () => {
            if (node.life !== life || this.#with.over || random.chance(0.3)) return
            if (random.chance(0.5)) this.#with.kill(node)
            else this.#with.powerCut(node, 'lose')
          },
          () => undefined, // the disk may be full, or the node stop
        )
    }
    this.#armed = { name: node.name, act }
  }

  /**
   * Two nodes cannot reach each other, all others can reach both, and nothing else is wrong: what one has for the other
   * gets old, and may come when its time is over.
   */
  longCut(node: SimProcess, other: SimProcess): void {
    const { cluster, random } = this.#with
    const { processes } = cluster
    const { network } = cluster.world
    if (processes.length < 3) return
    const forMs = random.between(...longCutMs)
    network.heal()
    network.partition([[node.name], [other.name]])
    this.#with.rest(forMs + restMs)
    cluster.world.after(forMs, () => {
      if (!this.#with.over) network.heal()
    })
  }

  /**
   * One node misses what is written for a while. When it is back, and those who could tell it cannot be reached from there
   * or only slowly, another node loses what it had: those two must not be taken for a quorum.
   */
  leaveBehind(late: SimProcess, victim: SimProcess): void {
    const { cluster, random } = this.#with
    const { processes } = cluster
    const { network } = cluster.world
    if (processes.length < 3) return
    const others = processes.filter((process) => process !== late).map(({ name }) => name)
    const knowing = others.filter((name) => name !== victim.name)
    network.partition([[late.name], others])
    cluster.world.after(random.between(...awayMs), () => {
      if (this.#with.over) return
      const slowMs = random.between(...slowWayMs)
      const setDelayMs = (delayMs: number): void => {
        for (const name of knowing) {
          network.setExtraDelayMs(late.name, name, delayMs)
          network.setExtraDelayMs(name, late.name, delayMs)
        }
      }
      network.heal()
      if (random.chance(0.5)) setDelayMs(slowMs)
      else network.partition([[late.name], knowing])
      this.#with.ruin(victim)
      cluster.world.after(apartMs, () => {
        if (this.#with.over) return
        network.heal()
        setDelayMs(0)
      })
    })
  }
}
