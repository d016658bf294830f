import { FatalError } from '@quorumkv/internal/base'
import { DiskError } from '@quorumkv/internal/env'
import type { ObservedEvent, SimProcess, SimRandom } from '@quorumkv/internal/env-sim'
import { hlcOf } from '@quorumkv/internal/hlc'
import type { SimCluster } from '../sim-cluster.js'
import type { Ledger } from './ledger.js'
import { type Deeds, networkDeeds } from './network-deeds.js'
import { type Hands, Operator } from './operator.js'
import { type Accomplice, Plots } from './plots.js'
import { Rot } from './rot.js'
import { type FaultKind, faultKinds, type Scenario } from './scenario.js'
import type { TopologyHistory } from './topology-history.js'
import type { Watch } from './watch.js'

const pausedMsMax = 8_000
/** A victim of rot is looked at after at most so long. */
const rotLookMsMax = 20_000
/** What was lost is back after so long when nothing is wrong any more. */
const refillMs = 60_000

interface CrashManner {
  readonly disk: 'keep' | 'random' | 'lose' | 'tear'
  readonly links: 'reset' | 'silent'
}

/** Does harm, notes what it did, and mends everything at the end. */
export class Nemesis {
  readonly done: Partial<Record<FaultKind | 'fatal' | 'repair', number>> = {}
  readonly rot: Rot
  /** Undefined: the members stay who they are. */
  readonly operator: Operator | undefined
  readonly #cluster: SimCluster
  readonly #scenario: Scenario
  readonly #ledger: Ledger
  readonly #watch: Watch
  readonly #random: SimRandom
  readonly #history: TopologyHistory
  readonly #plots: Plots
  /** Whose data directory each node has said to have. */
  readonly #incarnations = new Map<string, string>()
  /** Nodes that are being started. */
  readonly #starting = new Map<string, Promise<void>>()
  /** Whose clock is wrong when one is far off. */
  #wrongClock: string | undefined
  #over = false
  #restUntilMs = 0
  readonly #tell: (what: string) => void
  /** What each fault does to a node and, where two are needed, to another one. */
  readonly #deeds: Readonly<Record<FaultKind, (node: SimProcess, other: SimProcess) => void>>

  constructor(
    cluster: SimCluster,
    scenario: Scenario,
    ledger: Ledger,
    watch: Watch,
    history: TopologyHistory,
    tell: (what: string) => void = () => undefined,
  ) {
    this.#tell = tell
    this.#cluster = cluster
    this.#scenario = scenario
    this.#ledger = ledger
    this.#watch = watch
    this.#history = history
    this.#random = cluster.world.random.fork('nemesis')
    this.#plots = new Plots(this.#asAccomplice())
    for (const name of cluster.names) this.#incarnations.set(name, cluster.node(name).status().incarnation)
    this.rot = new Rot(cluster, scenario)
    this.rot.wiped = (name) => {
      watch.mayForget(name)
      ledger.newIncarnation(name)
      history.forget(name)
    }
    const { changes } = scenario
    this.operator = changes && new Operator(cluster, scenario, changes, ledger, history, this.#asHands())
    this.#deeds = {
      ...this.#plotDeeds(),
      ...this.#processDeeds(),
      ...networkDeeds(cluster, this.#random, (withinMs, act) => this.#later(withinMs, act)),
      ...this.#clockDeeds(),
      ...this.#diskDeeds(),
    }
    cluster.onFatal = (name, error) => this.#died(name, error)
  }

  #processDeeds(): Deeds<'crash' | 'powerCut' | 'crashAll' | 'stop' | 'pause' | 'slowReader' | 'snapshot'> {
    return {
      crash: (node) => this.#crash(node, { disk: 'keep', links: 'reset' }),
      powerCut: (node) => this.#powerCut(node),
      crashAll: () => {
        const { processes } = this.#cluster
        for (const process of processes) this.#powerCut(process)
        // A room without power may come back with another time, the same for all.
        const skewMs = this.#random.between(-0.5, 0.5) * this.#scenario.maxClockDriftMs
        if (this.#random.chance(0.5)) for (const { time } of processes) time.setSkewMs(skewMs)
      },
      stop: (node) => this.#stop(node),
      pause: (node) => this.#pause(node, this.#random.between(0, pausedMsMax)),
      slowReader: (node) => {
        for (let i = 0; i < 20; i++) {
          this.#cluster.world.after(i * 200, () => this.#pause(node, this.#random.between(50, 190)))
        }
      },
      snapshot: (node) => this.#snapshot(node),
    }
  }

  #plotDeeds(): Deeds<'cutInWrite' | 'snapshotInWrite' | 'leaveBehind' | 'longCut'> {
    return {
      cutInWrite: (node) => this.#plots.cutInWrite(node),
      snapshotInWrite: (node) => this.#plots.snapshotInWrite(node),
      leaveBehind: (node, other) => this.#plots.leaveBehind(node, other),
      longCut: (node, other) => this.#plots.longCut(node, other),
    }
  }

  #asAccomplice(): Accomplice {
    const nemesis = this
    return {
      cluster: this.#cluster,
      random: this.#random,
      get over() {
        return nemesis.#over
      },
      powerCut: (process, disk) => this.#crash(process, { disk, links: 'silent' }),
      kill: (process) => this.#crash(process, { disk: 'keep', links: 'reset' }),
      rest: (forMs) => {
        this.#restUntilMs = this.#cluster.world.nowMs + forMs
      },
      ruin: (process) => {
        const done =
          this.#scenario.faults.wipe > 0 && this.#random.chance(0.5) ? this.rot.wipe(process) : this.rot.lose(process)
        if (!done || !process.running) return
        this.#crash(process, { disk: 'keep', links: 'reset' })
        this.#start(process.name)
      },
    }
  }

  #asHands(): Hands {
    const nemesis = this
    const tell = this.#tell
    return {
      get over() {
        return nemesis.#over
      },
      rot: this.rot,
      switchOff: (process) => {
        if (!process.running) return
        this.#cluster.crash(process.name, { disk: 'keep', links: this.#random.pick(['reset', 'silent']) })
        this.#starting.delete(process.name)
      },
      start: (name, fresh) => {
        const process = this.#cluster.process(name)
        if (process.running) process.crash()
        if (fresh) {
          process.drive.erase()
          this.#incarnations.delete(name)
          this.#watch.mayForget(name)
          this.#ledger.newIncarnation(name)
          this.#history.forget(name)
        }
        this.#start(name)
      },
      restart: (process) => this.#crash(process, { disk: 'keep', links: 'reset' }),
      tell,
    }
  }

  /** Whether a copy that was acknowledged by one node alone may be gone, with its disk or on the way to other owners. */
  get losesSingleCopies(): boolean {
    return this.operator !== undefined || this.rot.repairs + this.rot.losses > 0
  }

  /** To be told of every event before it happens. */
  sees(event: ObservedEvent): void {
    this.#plots.sees(event)
  }

  #clockDeeds(): Deeds<'skew' | 'clockFarOff' | 'drift' | 'farClient'> {
    const { maxClockDriftMs, seed } = this.#scenario
    return {
      // Half of the bound, so that any two nodes are within it.
      skew: ({ time }) => {
        const part = this.#random.pick([-1, 1, this.#random.between(-1, 1)])
        time.setSkewMs(0.5 * part * maxClockDriftMs)
      },
      // One and the same node each time: where most of the clocks are wrong, nobody can say which.
      clockFarOff: () => {
        const { names } = this.#cluster
        if ((this.operator?.steadyCount ?? names.length) < 3) return
        const name = names.find((each) => each === this.#wrongClock) ?? names[seed % names.length]!
        if (this.#wrongClock !== undefined && this.#wrongClock !== name) this.#rightClock(this.#wrongClock)
        this.#wrongClock = name
        const { time } = this.#cluster.process(name)
        this.#watch.farOff(name)
        time.setSkewMs(this.#random.between(-86_400_000, 86_400_000))
        this.#later(20_000, () => this.#rightClock(name))
      },
      drift: ({ time }) => time.setDriftPpm(this.#random.between(-500, 500)),
      // A client whose clock is wrong, or that lies: it must not move the node's.
      farClient: ({ name }) => {
        if (!this.#cluster.runningNames.includes(name)) return
        const farMs = this.#cluster.trueWallMs + 3 * maxClockDriftMs + this.#random.between(20_000, 86_400_000)
        this.#cluster.node(name).observe(hlcOf(Math.floor(farMs), 0))
      },
    }
  }

  #diskDeeds(): Deeds<'slowDisk' | 'shortTransfers' | 'fullDisk' | 'syncFails' | 'rot' | 'misdirectedWrite' | 'wipe'> {
    return {
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
      syncFails: ({ drive }) => {
        drive.faults.failNext(this.#random.pick(['sync', 'sync', 'syncDirectory', 'write', 'read', 'rename']))
      },
      rot: (node) => {
        const where = this.rot.strike(node)
        if (where === undefined) return
        this.#tell(`rot ${node.name}: ${where}`)
        this.#later(this.#random.pick([20, 500, rotLookMsMax]), () => this.#look(node))
      },
      wipe: (node) => {
        if (this.rot.wipe(node)) this.#powerCut(node)
      },
      misdirectedWrite: (node) => {
        if (this.rot.misdirect(node)) this.#later(rotLookMsMax, () => this.#look(node))
      },
    }
  }

  /** Does one thing now, and the next one after a while, until `mend`. */
  start(): void {
    if (this.#over) return
    if (this.#cluster.world.nowMs >= this.#restUntilMs) this.#strike()
    this.#cluster.world.after(this.#random.between(0, 2 * this.#scenario.faultEveryMs), () => this.start())
  }

  /** After `mend`: new faults. */
  goOn(): void {
    this.#over = false
    this.rot.thorough = false
    this.start()
  }

  /** All clocks go wrong a little, where this is a play of clocks that drift. */
  driftApart(): void {
    if (this.#scenario.faults.drift === 0) return
    for (const { time } of this.#cluster.processes) time.setDriftPpm(this.#random.between(-500, 500))
  }

  /** Switches a node off until `startAll`. */
  takeAway(name: string): void {
    this.#tell(`${name} is away`)
    this.#cluster.crash(name, { disk: 'keep', links: 'silent' })
  }

  /** Ends all faults, and starts what is down. Afterwards nothing is wrong any more. */
  async mend(): Promise<void> {
    this.#over = true
    this.rot.thorough = true
    const { world } = this.#cluster
    world.network.heal()
    world.network.setBreakProbability(0)
    for (const process of world.processes) {
      for (const other of world.processes) world.network.setExtraDelayMs(process.name, other.name, 0)
      this.#rightClock(process.name)
      process.time.setDriftPpm(0)
      const { faults } = process.drive
      faults.clear()
      if (process.paused) process.resume()
    }
    await this.startAll()
    await this.operator?.givenUp()
    for (let round = 0; round < 4 && this.#scenario.atlas && this.rot.victim !== undefined; round++) {
      if (!this.rot.sound) this.#look(this.#cluster.process(this.rot.victim))
      await this.startAll()
      for (let waitedMs = 0; waitedMs < refillMs && !this.rot.release(); waitedMs += 250) await world.advance(250)
    }
    if (this.#scenario.atlas && this.rot.victim !== undefined) {
      this.#ledger.violation(`${this.rot.victim} is not whole again although nothing is wrong any more`)
    }
    await this.operator?.settle()
  }

  /** Until every node runs. */
  async startAll(): Promise<void> {
    const { world } = this.#cluster
    for (let round = 0; round < 8; round++) {
      for (const { name } of this.#cluster.processes) this.#start(name)
      await world.settle(Promise.all(this.#starting.values()))
      if (this.#cluster.processes.every(({ running }) => running)) return
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
      const { processes } = this.#cluster
      const at = this.#random.below(processes.length)
      const node = processes[at]!
      const other = processes[(at + 1 + this.#random.below(Math.max(1, processes.length - 1))) % processes.length]!
      this.#note(kind)
      this.#tell(`${kind} ${node.name} (${other.name})`)
      this.#deeds[kind](node, other)
      return
    }
  }

  #note(kind: FaultKind | 'fatal' | 'repair'): void {
    this.done[kind] = (this.done[kind] ?? 0) + 1
  }

  #later(withinMs: number, act: () => void): void {
    this.#cluster.world.after(this.#random.between(0, withinMs), () => {
      if (!this.#over) act()
    })
  }

  #rightClock(name: string): void {
    this.#cluster.process(name).time.setSkewMs(0)
    if (this.#wrongClock === name || this.#wrongClock === undefined) this.#watch.farOff(undefined)
  }

  #crash(process: SimProcess, options: CrashManner): void {
    if (!process.running) return
    this.#cluster.crash(process.name, options)
    this.#starting.delete(process.name) // it never ends
    this.#startLater(process.name)
  }

  #powerCut(process: SimProcess): void {
    this.#crash(process, { disk: this.#random.pick(['random', 'lose']), links: 'silent' })
  }

  /** As on SIGTERM; whatever else happens to it meanwhile. */
  #stop(process: SimProcess): void {
    const { name, life } = process
    if (!this.#cluster.runningNames.includes(name) || process.paused) return
    this.#cluster
      .node(name)
      .stop(this.#random.pick([0, 100, 2_000]))
      .then(() => {
        if (process.running && process.life === life) this.#crash(process, { disk: 'keep', links: 'reset' })
      })
      .catch((error: unknown) => this.#ledger.falsehood(`${name} could not be stopped: ${String(error)}`))
  }

  /** Starts a node anew, so that whatever has happened to its files shows. */
  #look(process: SimProcess): void {
    if (!process.running) return
    if (process.paused) process.resume()
    this.#crash(process, { disk: 'keep', links: 'reset' })
    this.#start(process.name)
  }

  #pause(process: SimProcess, forMs: number): void {
    if (!process.running || process.paused || this.#over) return
    const { life } = process
    process.pause()
    this.#cluster.world.after(forMs, () => {
      if (process.life === life && process.running && process.paused) process.resume()
    })
  }

  #snapshot(process: SimProcess): void {
    if (!this.#cluster.runningNames.includes(process.name)) return
    this.#cluster
      .node(process.name)
      .snapshot()
      .catch(() => undefined)
  }

  /** A node that cannot go on ends its process, and is started again as an operator's supervisor would. */
  #died(name: string, error: Error, starting = false): void {
    this.#note('fatal')
    this.#tell(`${name} ends: ${error.message}`)
    const process = this.#cluster.process(name)
    if (error instanceof FatalError && this.operator?.ended(name, error, this.#incarnations.get(name)) === true) {
      if (process.running) this.#cluster.crash(name, { disk: 'keep', links: 'reset' })
      this.#starting.delete(name)
      return
    }
    // A start may fail with the disk's own error; a node that runs says what it makes of it.
    const expected = error instanceof FatalError || (starting && error instanceof DiskError)
    if (!expected) this.#ledger.falsehood(`${name} died of a bug: ${error.stack ?? error.message}`)
    else if (error instanceof FatalError && error.reason === 'corrupt' && !this.rot.isBroken(name)) {
      this.#ledger.violation(`${name} says that its data is corrupt: ${error.message}`)
    } else if (this.operator !== undefined && error instanceof FatalError && error.reason === 'refused') {
      this.#ledger.violation(`${name} ends though it is a member: ${error.message}`)
    }
    if (!process.running) return
    // A kernel that could not write drops what it could not write.
    this.#cluster.crash(name, { disk: 'lose', links: 'reset' })
    this.#starting.delete(name)
    this.#startLater(name)
  }

  #startLater(name: string): void {
    const downMsMax = this.#over ? 500 : this.#scenario.downMsMax
    this.#cluster.world.after(this.#random.between(0, downMsMax), () => this.#start(name))
  }

  #start(name: string): void {
    const process = this.#cluster.process(name)
    if (process.running || this.#starting.has(name) || !this.#cluster.names.includes(name)) return
    const { disk } = process.restart()
    const { repairs } = this.rot
    const launched = this.rot.beforeStart(name, disk).then(() => {
      if (this.rot.repairs > repairs) this.#note('repair')
      return this.#launch(name)
    })
    const starting: Promise<void> = launched.then(
      () => {
        this.#watch.started(name)
        this.#checkIncarnation(name)
        this.#started(name, starting)
      },
      (error: unknown) => {
        this.#started(name, starting)
        this.#died(name, error instanceof Error ? error : new Error(String(error)), true)
      },
    )
    this.#starting.set(name, starting)
  }

  async #launch(name: string): Promise<void> {
    const peers = this.operator === undefined ? this.#cluster.names : await this.operator.peersFor(name)
    await this.#cluster.launch(name, peers)
  }

  /** A node that has forgotten who it is has forgotten what it promised. */
  #checkIncarnation(name: string): void {
    if (!this.#cluster.runningNames.includes(name)) return
    const { incarnation } = this.#cluster.node(name).status()
    const before = this.#incarnations.get(name)
    this.#incarnations.set(name, incarnation)
    if (!this.rot.mayBeReborn(name) && before !== undefined && incarnation !== before) {
      this.#ledger.violation(`${name} has begun anew, though nobody has emptied or repaired its data directory`)
    }
  }

  #started(name: string, starting: Promise<void>): void {
    if (this.#starting.get(name) === starting) this.#starting.delete(name)
  }
}
