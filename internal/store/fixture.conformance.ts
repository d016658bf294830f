import { Instruments } from '../base/index.js'
import type { Log } from '../env/index.js'
import { type CrashPolicy, type Seed, type SimDisk, type SimProcess, SimWorld } from '../env-sim/index.js'
import { clusterId, incarnation } from '../wal/fixture.conformance.js'
import { openStore, type Store, type StoreOptions } from './index.js'

export { clusterId, incarnation, names, put, tombstone } from '../wal/fixture.conformance.js'

/** One node's store on a simulated machine, with small segments, so that a handful of writes crosses all borders. */
export class SimStore {
  readonly world: SimWorld
  readonly process: SimProcess
  /** What `onFatal` was given, in all lives. */
  readonly fatal: Error[] = []
  /** Warnings and errors, in all lives. */
  readonly said: string[] = []
  readonly #overrides: Partial<StoreOptions>
  #store: Store | undefined

  constructor(
    seed: Seed,
    overrides: Partial<StoreOptions> = {},
    drive?: SimDisk,
    world: SimWorld = new SimWorld({ seed }),
  ) {
    this.world = world
    this.process = this.world.process(`node/${world.processes.length}`, drive === undefined ? {} : { drive })
    this.#overrides = overrides
  }

  get drive(): SimDisk {
    return this.process.drive
  }

  /** The open store. */
  get store(): Store {
    if (this.#store === undefined) throw new Error('open it first')
    return this.#store
  }

  get options(): StoreOptions {
    const note = (message: string): void => {
      this.said.push(message)
    }
    const log: Log = { debug() {}, info() {}, warn: note, error: note }
    return {
      disk: this.process.disk,
      clock: this.process.clock,
      instruments: new Instruments(() => 0),
      log,
      clusterId,
      incarnation,
      fsync: 'always',
      fsyncIntervalMs: 100,
      snapshotIntervalMs: 0,
      snapshotWalBytes: 0,
      tuning: { logSegmentBytes: 4_096, logPreallocateBytes: 2_048 },
      onFatal: (error) => this.fatal.push(error),
      ...this.#overrides,
    }
  }

  async open(): Promise<Store> {
    this.#store = await this.settle(openStore(this.options))
    return this.#store
  }

  /** Tries to open it: the error, or undefined. */
  async openFailure(): Promise<unknown> {
    return this.settle(
      openStore(this.options).then(
        (store) => {
          this.#store = store
        },
        (error: unknown) => error,
      ),
    )
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.world.settle(promise)
  }

  /** Ends this life; the next one has the drive as the crash has left it. */
  crash(disk: CrashPolicy): void {
    this.process.crash({ disk })
    this.process.restart()
  }

  async reopen(disk: CrashPolicy = 'lose'): Promise<Store> {
    this.crash(disk)
    return this.open()
  }

  /** A machine of its own whose drive holds what this one's would after a power cut now. */
  clone(policy: CrashPolicy): SimStore {
    return new SimStore('clone', this.#overrides, this.drive.crashClone(policy), this.world)
  }
}

/** Everything in a store, as `key@stamp` or `key@stamp tombstone`, sorted. */
export function contents(store: Store): string[] {
  const decoder = new TextDecoder()
  const found: string[] = []
  for (let slot = 0; slot < 4096; slot++) {
    store.scanSlot(slot as Parameters<Store['scanSlot']>[0], ({ key, lo, tombstone }) => {
      found.push(`${decoder.decode(key)}@${lo}${tombstone ? ' tombstone' : ''}`)
    })
  }
  return found.sort()
}
