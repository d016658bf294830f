import { FatalError } from '@quorumkv/internal/base'
import type { SimNetwork, SimProcess, SimRandom } from '@quorumkv/internal/env-sim'
import type { SimCluster } from '../sim-cluster.js'
import type { Ledger } from './ledger.js'
import { type FaultKind, faultKinds, type Scenario } from './scenario.js'

/** A node that went down comes back after at most so long. */
const downMsMax = 15_000
const pausedMsMax = 8_000

/** Does harm, notes what it did, and mends everything at the end. */
export class Nemesis {
  readonly done: Partial<Record<FaultKind | 'fatal', number>> = {}
  readonly #cluster: SimCluster
  readonly #scenario: Scenario
  readonly #ledger: Ledger
  readonly #random: SimRandom
  /** Nodes that are being started. */
  readonly #starting = new Map<string, Promise<void>>()
  #over = false
  readonly #tell: (what: string) => void
  /** What each fault does to a node and, where two are needed, to another one. */
  readonly #deeds: Readonly<Record<FaultKind, (node: SimProcess, other: SimProcess) => void>> = {
    crash: (node) => this.#crash(node, { disk: 'keep', links: 'reset' }),
    powerCut: (node) => this.#crash(node, { disk: this.#random.pick(['random', 'lose']), links: 'silent' }),
    pause: (node) => this.#pause(node),
    partition: () => this.#partition(),
    cutOneWay: (node, other) => {
      this.#network.cut(node.name, other.name)
      this.#later(15_000, () => this.#network.heal())
    },
    breakLinks: (node, other) => this.#network.cutLinks(node.name, other.name),
    halfOpenLink: (node, other) => this.#network.cutLinks(node.name, other.name, 'first'),
    slowPath: (node, other) => {
      this.#network.setExtraDelayMs(node.name, other.name, this.#random.pick([5, 100, 1_000, 4_000]))
      this.#later(15_000, () => this.#network.setExtraDelayMs(node.name, other.name, 0))
    },
    lossyNetwork: () => {
      this.#network.setBreakProbability(this.#random.between(0.0005, 0.02))
      this.#later(10_000, () => this.#network.setBreakProbability(0))
    },
    // Half of the bound, so that any two nodes are within it.
    skew: ({ time }) => time.setSkewMs(this.#random.between(-0.5, 0.5) * this.#scenario.maxClockDriftMs),
    // One and the same node each time: where most of the clocks are wrong, nobody can say which.
    clockFarOff: () => {
      const { processes } = this.#cluster.world
      const { time } = processes[this.#scenario.seed % processes.length]!
      if (processes.length < 3) return
      time.setSkewMs(this.#random.between(-86_400_000, 86_400_000))
      this.#later(20_000, () => time.setSkewMs(0))
    },
    drift: ({ time }) => time.setDriftPpm(this.#random.between(-500, 500)),
    slowDisk: ({ drive }) => {
      drive.faults.setExtraDelayMs(this.#random.pick([1, 20, 400]))
      this.#later(10_000, () => drive.faults.setExtraDelayMs(0))
    },
    shortTransfers: ({ drive }) => {
      drive.faults.setShortTransfers(this.#random.between(0.01, 0.5))
      this.#later(20_000, () => drive.faults.setShortTransfers(0))
    },
    fullDisk: ({ drive }) => {
      drive.faults.setFreeBytes(this.#random.pick([0, 100, 5_000]))
      this.#later(10_000, () => drive.faults.setFreeBytes(Number.POSITIVE_INFINITY))
    },
    syncFails: ({ drive }) => drive.faults.failNext(this.#random.pick(['sync', 'sync', 'syncDirectory', 'write'])),
    snapshot: (node) => this.#snapshot(node),
  }

  constructor(cluster: SimCluster, scenario: Scenario, ledger: Ledger, tell: (what: string) => void = () => undefined) {
    this.#tell = tell
    this.#cluster = cluster
    this.#scenario = scenario
    this.#ledger = ledger
    this.#random = cluster.world.random.fork('nemesis')
    cluster.onFatal = (name, error) => this.#died(name, error)
  }

  /** Does one thing now, and the next one after a while, until `mend`. */
  start(): void {
    if (this.#over) return
    this.#strike()
    this.#cluster.world.after(this.#random.between(0, 2 * this.#scenario.faultEveryMs), () => this.start())
  }

  /** Ends all faults, and starts what is down. Afterwards nothing is wrong any more. */
  async mend(): Promise<void> {
    this.#over = true
    const { world } = this.#cluster
    world.network.heal()
    world.network.setBreakProbability(0)
    for (const process of world.processes) {
      for (const other of world.processes) world.network.setExtraDelayMs(process.name, other.name, 0)
      process.time.setSkewMs(0)
      process.time.setDriftPpm(0)
      const { faults } = process.drive
      faults.clear()
      if (process.paused) process.resume()
    }
    for (let round = 0; round < 5; round++) {
      for (const { name } of world.processes) this.#start(name)
      await world.settle(Promise.all(this.#starting.values()))
      if (world.processes.every(({ running }) => running)) return
    }
    this.#ledger.violation('not all nodes could be started when all was well again')
  }

  #strike(): void {
    const weights = this.#scenario.faults
    let draw = this.#random.between(
      0,
      faultKinds.reduce((sum, kind) => sum + weights[kind], 0),
    )
    for (const kind of faultKinds) {
      draw -= weights[kind]
      if (draw >= 0) continue
      const { processes } = this.#cluster.world
      const at = this.#random.below(processes.length)
      const node = processes[at]!
      const other = processes[(at + 1 + this.#random.below(Math.max(1, processes.length - 1))) % processes.length]!
      this.#note(kind)
      this.#tell(`${kind} ${node.name} (${other.name})`)
      this.#deeds[kind](node, other)
      return
    }
  }

  #note(kind: FaultKind | 'fatal'): void {
    this.done[kind] = (this.done[kind] ?? 0) + 1
  }

  get #network(): SimNetwork {
    return this.#cluster.world.network
  }

  #later(withinMs: number, act: () => void): void {
    this.#cluster.world.after(this.#random.between(0, withinMs), () => {
      if (!this.#over) act()
    })
  }

  #crash(process: SimProcess, options: { disk: 'keep' | 'random' | 'lose'; links: 'reset' | 'silent' }): void {
    if (!process.running) return
    this.#cluster.crash(process.name, options)
    this.#starting.delete(process.name) // it never ends
    this.#later(downMsMax, () => this.#start(process.name))
  }

  #pause(process: SimProcess): void {
    if (!process.running || process.paused) return
    process.pause()
    this.#later(pausedMsMax, () => {
      if (process.paused) process.resume()
    })
  }

  #partition(): void {
    const { world } = this.#cluster
    const sides: [string[], string[]] = [[], []]
    // Who is in neither sees both: a partition that is not transitive.
    for (const { name } of world.processes) sides[this.#random.below(3)]?.push(name)
    world.network.partition(sides)
    this.#later(15_000, () => world.network.heal())
  }

  #snapshot(process: SimProcess): void {
    if (!this.#cluster.runningNames.includes(process.name)) return
    this.#cluster
      .node(process.name)
      .snapshot()
      .catch(() => undefined)
  }

  /** A node that cannot go on ends its process, and is started again as an operator's supervisor would. */
  #died(name: string, error: Error): void {
    this.#note('fatal')
    if (!(error instanceof FatalError)) this.#ledger.violation(`${name} died of a bug: ${error.stack ?? error.message}`)
    else if (error.reason === 'corrupt')
      this.#ledger.violation(`${name} says that its data is corrupt: ${error.message}`)
    const process = this.#cluster.process(name)
    if (!process.running) return
    // A kernel that could not write drops what it could not write.
    this.#cluster.crash(name, { disk: 'lose', links: 'reset' })
    this.#starting.delete(name)
    this.#later(downMsMax, () => this.#start(name))
  }

  #start(name: string): void {
    const process = this.#cluster.process(name)
    if (process.running || this.#starting.has(name)) return
    process.restart()
    const starting: Promise<void> = this.#cluster.launch(name).then(
      () => this.#started(name, starting),
      (error: unknown) => {
        this.#started(name, starting)
        this.#died(name, error instanceof Error ? error : new Error(String(error)))
      },
    )
    this.#starting.set(name, starting)
  }

  #started(name: string, starting: Promise<void>): void {
    if (this.#starting.get(name) === starting) this.#starting.delete(name)
  }
}
