import { assert } from '../base/index.js'
import type { Clock, Disk, Network, Random } from '../env/index.js'
import { SimClock, type SimMachineClock } from './clock.js'
import type { SimDisk } from './disk.js'
import type { CrashPolicy } from './disk-image.js'
import type { SimNetwork } from './network.js'
import type { SimRandom } from './random.js'
import { EventOwner, type Scheduler } from './scheduler.js'

export interface CrashOptions {
  /** What becomes of unsynced changes; default `random`. `keep` is a killed process, whose kernel lives on. */
  readonly disk?: CrashPolicy
  /** Default `reset`: its links are closed for the others. `silent`: they hear nothing, as when a machine is cut off power. */
  readonly links?: 'reset' | 'silent'
}

/** What belongs to one machine, whatever process runs on it. */
export interface Machine {
  readonly scheduler: Scheduler
  readonly random: SimRandom
  readonly time: SimMachineClock
  readonly drive: SimDisk
  readonly network: SimNetwork
}

/** The four seams as one life of a process has them. After its crash they have no effect and never answer. */
export interface SimLife {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly network: Network
}

/**
 * A process on a machine of its own, with a drive and a clock that outlive it. `clock`, `random`, `disk` and `network`
 * are those of its current life: what was taken from a former one is fenced, and so is everything that the program made
 * of it. A program is not ended by a crash: its objects stay, but no timer, no disk and no peer ever calls it again.
 */
export class SimProcess implements SimLife {
  readonly name: string
  /** The machine's clock: set its skew and drift here. */
  readonly time: SimMachineClock
  /** The machine's drive: set its faults, corrupt and clone it here. */
  readonly drive: SimDisk
  readonly #machine: Machine
  #lives = 0
  #owner: EventOwner
  #life: SimLife

  constructor(name: string, machine: Machine) {
    this.name = name
    this.time = machine.time
    this.drive = machine.drive
    this.#machine = machine
    this.#owner = new EventOwner(name)
    this.#life = this.#begin()
  }

  get clock(): Clock {
    return this.#life.clock
  }

  get random(): Random {
    return this.#life.random
  }

  get disk(): Disk {
    return this.#life.disk
  }

  get network(): Network {
    return this.#life.network
  }

  /** The current life, to keep hold of it across a crash. */
  get life(): SimLife {
    return this.#life
  }

  /** false between a crash and the restart. */
  get running(): boolean {
    return this.#owner.alive
  }

  get paused(): boolean {
    return this.#owner.paused
  }

  /** Ends this life at once. */
  crash(options: CrashOptions = {}): void {
    assert(this.running, `${this.name} is not running`)
    this.#owner.alive = false
    this.drive.crash(options.disk ?? 'random')
    this.#machine.network.hostDied(this.name, this.#owner, options.links ?? 'reset')
  }

  /** A new life over the same drive and clock. */
  restart(): SimLife {
    assert(!this.running, `${this.name} is running; crash it first`)
    this.#owner = new EventOwner(`${this.name}#${this.#lives + 1}`)
    this.#life = this.#begin()
    return this.#life
  }

  /** Stops it as SIGSTOP does: its clock runs on, but nothing happens to it until `resume`. */
  pause(): void {
    assert(this.running, `${this.name} is not running`)
    this.#owner.paused = true
  }

  /** Goes on with everything that came meanwhile, in order. */
  resume(): void {
    assert(this.#owner.paused, `${this.name} is not paused`)
    this.#owner.paused = false
    this.#machine.scheduler.release(this.#owner)
  }

  #begin(): SimLife {
    const { scheduler, random, time, drive, network } = this.#machine
    this.#lives++
    return {
      clock: new SimClock(scheduler, time, this.#owner),
      random: random.fork(`life/${this.#lives}`),
      disk: drive.mount(this.#owner),
      network: network.attach(this.name, this.#owner),
    }
  }
}
