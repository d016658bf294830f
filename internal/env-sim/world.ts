import { assert } from '../base/index.js'
import { SimMachineClock } from './clock.js'
import { type DiskLatency, SimDisk } from './disk.js'
import type { CrashPolicy } from './disk-image.js'
import { type NetworkOptions, SimNetwork } from './network.js'
import { type Seed, SimRandom } from './random.js'
import { nobody, type ObservedEvent, Scheduler } from './scheduler.js'
import { SimProcess } from './sim-process.js'

export interface SimWorldOptions {
  /** Everything that is left to chance follows from it. */
  readonly seed: Seed
  /** Unix time at the beginning; default 2026-01-01T00:00:00Z. */
  readonly startWallMs?: number
  readonly network?: NetworkOptions
  readonly diskLatency?: DiskLatency
  /** Sees every event before it happens: write two runs down and compare them. */
  readonly observe?: (event: ObservedEvent) => void
}

export interface ProcessOptions {
  /** The drive of its machine, a crash clone for instance; default an empty one. */
  readonly drive?: SimDisk
}

const defaultStartWallMs = 1_767_225_600_000

/** `settle` and `runUntil` give up after ten minutes of virtual time. */
const patienceMs = 600_000

/**
 * A whole cluster in one process, in virtual time. Nothing happens unless `advance`, `runUntil` or `settle` drives it.
 * The same seed and the same program give the same run, bit for bit; `hash` tells. Code under simulation must wait for
 * its seams only: a real timer or file would end the virtual world's control over the order of events.
 */
export class SimWorld {
  /** For a test's own choices; use `fork`, so that they stay apart. */
  readonly random: SimRandom
  /** What is wrong between processes. */
  readonly network: SimNetwork
  readonly #scheduler: Scheduler
  readonly #startWallMs: number
  readonly #diskLatency: DiskLatency | undefined
  readonly #processes = new Map<string, SimProcess>()

  constructor(options: SimWorldOptions) {
    this.random = new SimRandom(options.seed)
    this.#scheduler = new Scheduler(options.seed, options.observe)
    this.network = new SimNetwork(this.#scheduler, this.random.fork('network'), options.network)
    this.#startWallMs = options.startWallMs ?? defaultStartWallMs
    this.#diskLatency = options.diskLatency
  }

  /** True time: virtual milliseconds since the beginning. */
  get nowMs(): number {
    return this.#scheduler.nowMs
  }

  get eventsRun(): number {
    return this.#scheduler.eventsRun
  }

  /** Fingerprint of the seed and of everything that has happened, 16 hex digits. */
  get hash(): string {
    return this.#scheduler.hash
  }

  /** The process of this name; the first call makes it, running, on a machine of its own. */
  process(name: string, options: ProcessOptions = {}): SimProcess {
    const known = this.#processes.get(name)
    if (known !== undefined) {
      assert(options.drive === undefined, `${name} has its drive already`)
      return known
    }
    const random = this.random.fork(`process/${name}`)
    const created = new SimProcess(name, {
      scheduler: this.#scheduler,
      random,
      time: new SimMachineClock(this.#scheduler, this.#startWallMs),
      drive: options.drive ?? new SimDisk(this.#scheduler, random.fork('drive'), this.#diskLatency),
      network: this.network,
    })
    this.#processes.set(name, created)
    return created
  }

  /** A drive for a process of this world that holds what `drive`, which may be of another, would after a power cut now. */
  crashClone(drive: SimDisk, policy: CrashPolicy): SimDisk {
    return drive.crashClone(policy, this.#scheduler)
  }

  /** All processes, in the order in which they were made. */
  get processes(): SimProcess[] {
    return [...this.#processes.values()]
  }

  /** Calls `fire` in so many milliseconds of true time, whatever has become of the processes: for faults. */
  after(delayMs: number, fire: () => void): void {
    this.#scheduler.schedule(nobody, 'fault', delayMs, fire)
  }

  /** Lets so much time pass. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.nowMs + ms
    await this.#scheduler.drive(() => false, untilMs)
    this.#scheduler.skipTo(untilMs)
  }

  /** Runs until the condition holds; it is asked after every event. Throws when `withinMs` pass without. */
  async runUntil(condition: () => boolean, withinMs: number = patienceMs): Promise<void> {
    const end = await this.#scheduler.drive(condition, this.nowMs + withinMs)
    if (end === 'met') return
    throw new Error(
      end === 'time'
        ? `the condition did not come true within ${withinMs} ms of virtual time`
        : 'the condition did not come true, and nothing is left that could happen',
    )
  }

  /** Runs until the promise settles, and gives what it gives. Throws when `withinMs` pass without. */
  async settle<T>(promise: Promise<T>, withinMs: number = patienceMs): Promise<T> {
    let settled = false
    const note = (): void => {
      settled = true
    }
    promise.then(note, note)
    const end = await this.#scheduler.drive(() => settled, this.nowMs + withinMs)
    if (end === 'met') return promise
    throw new Error(
      end === 'time'
        ? `the promise did not settle within ${withinMs} ms of virtual time`
        : 'the promise did not settle, and nothing is left that could happen',
    )
  }
}
