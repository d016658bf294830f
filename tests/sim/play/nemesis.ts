import { FatalError } from '@quorumkv/internal/base'
import type { SimProcess, SimRandom } from '@quorumkv/internal/env-sim'
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

  constructor(cluster: SimCluster, scenario: Scenario, ledger: Ledger) {
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
      await Promise.all([...this.#starting.values()].map((starting) => world.settle(starting)))
      if (world.processes.every(({ running }) => running)) return
    }
    this.#ledger.violation('not all nodes could be started when all was well again')
  }

  #strike(): void {
    const weights = this.#scenario.faults
    let draw = this.#random.between(0, faultKinds.reduce((sum, kind) => sum + weights[kind], 0))
    for (const kind of faultKinds) {
      draw -= weights[kind]
      if (draw >= 0) continue
      this.#note(kind)
      this.#do(kind, this.#random.pick(this.#cluster.world.processes))
      return
    }
  }

  #note(kind: FaultKind | 'fatal'): void {
    this.done[kind] = (this.done[kind] ?? 0) + 1
  }

  #do(kind: FaultKind, process: SimProcess): void {
    const { world } = this.#cluster
    const others = world.processes.filter((other) => other !== process)
    const other = others.length > 0 ? this.#random.pick(others) : undefined
    const maxDriftMs = this.#scenario.maxClockDriftMs
    switch (kind) {
      case 'crash':
        return this.#crash(process, { disk: 'keep', links: 'reset' })
      case 'powerCut':
        return this.#crash(process, { disk: this.#random.pick(['random', 'lose']), links: 'silent' })
      case 'pause':
        return this.#pause(process)
      case 'partition':
        return this.#partition()
      case 'cutOneWay':
        if (other !== undefined) world.network.cut(process.name, other.name)
        return this.#later(15_000, () => world.network.heal())
      case 'breakLinks':
        if (other !== undefined) world.network.cutLinks(process.name, other.name)
        return
      case 'halfOpenLink':
        if (other !== undefined) world.network.cutLinks(process.name, other.name, 'first')
        return
      case 'slowPath':
        return this.#slowPath(process, other)
      case 'lossyNetwork':
        world.network.setBreakProbability(this.#random.between(0.0005, 0.02))
        return this.#later(10_000, () => world.network.setBreakProbability(0))
      case 'skew':
        // Half of the bound, so that any two are within it.
        return process.time.setSkewMs(this.#random.between(-maxDriftMs / 2, maxDriftMs / 2))
      case 'clockFarOff':
        process.time.setSkewMs(this.#random.between(-86_400_000, 86_400_000))
        return this.#later(20_000, () => process.time.setSkewMs(0))
      case 'drift':
        return process.time.setDriftPpm(this.#random.between(-500, 500))
      case 'slowDisk':
        process.drive.faults.setExtraDelayMs(this.#random.pick([1, 20, 400]))
        return this.#later(10_000, () => process.drive.faults.setExtraDelayMs(0))
      case 'shortTransfers':
        process.drive.faults.setShortTransfers(this.#random.between(0.01, 0.5))
        return this.#later(20_000, () => process.drive.faults.setShortTransfers(0))
      case 'fullDisk':
        process.drive.faults.setFreeBytes(this.#random.pick([0, 100, 5_000]))
        return this.#later(10_000, () => process.drive.faults.setFreeBytes(Number.POSITIVE_INFINITY))
      case 'syncFails':
        return process.drive.faults.failNext(this.#random.pick(['sync', 'sync', 'syncDirectory', 'write']))
      case 'snapshot':
        return this.#snapshot(process)
      default:
        kind satisfies never
    }
  }

  #later(withinMs: number, act: () => void): void {
    this.#cluster.world.after(this.#random.between(0, withinMs), () => {
      if (!this.#over) act()
    })
  }

  #crash(process: SimProcess, options: { disk: 'keep' | 'random' | 'lose'; links: 'reset' | 'silent' }): void {
    if (!process.running) return
    this.#cluster.crash(process.name, options)
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

  #slowPath(from: SimProcess, to: SimProcess | undefined): void {
    if (to === undefined) return
    const { network } = this.#cluster.world
    network.setExtraDelayMs(from.name, to.name, this.#random.pick([5, 100, 1_000, 4_000]))
    this.#later(15_000, () => network.setExtraDelayMs(from.name, to.name, 0))
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
    else if (error.reason === 'corrupt') this.#ledger.violation(`${name} says that its data is corrupt: ${error.message}`)
    const process = this.#cluster.process(name)
    if (!process.running) return
    // A kernel that could not write drops what it could not write.
    this.#cluster.crash(name, { disk: 'lose', links: 'reset' })
    this.#later(downMsMax, () => this.#start(name))
  }

  #start(name: string): void {
    const process = this.#cluster.process(name)
    if (process.running || this.#starting.has(name)) return
    process.restart()
    const starting = this.#cluster
      .launch(name)
      .then(
        () => undefined,
        (error: unknown) => this.#died(name, error instanceof Error ? error : new Error(String(error))),
      )
      .finally(() => this.#starting.delete(name))
    this.#starting.set(name, starting)
  }
}
