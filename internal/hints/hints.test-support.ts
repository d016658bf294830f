import { Instruments, parseClusterId, parseIncarnation, parseNodeId } from '../base/index.js'
import type { Log } from '../env/index.js'
import { type CrashOptions, type SimProcess, SimWorld } from '../env-sim/index.js'
import { hlcOf } from '../hlc/index.js'
import type { StoredRecord } from '../record/index.js'
import { type HintOwner, HintStore, type OwnerHints } from './index.js'

export const clusterId = parseClusterId('c'.repeat(32))
export const far: HintOwner = { id: parseNodeId('far'), incarnation: parseIncarnation('a'.repeat(32)) }
export const other: HintOwner = { id: parseNodeId('other'), incarnation: parseIncarnation('b'.repeat(32)) }

/** A holder of hints on a simulated disk, whose lives follow each other. */
export class Holder {
  readonly world: SimWorld
  readonly process: SimProcess
  readonly said: string[] = []
  store!: HintStore
  #stamps = 0

  private constructor(seed: string) {
    this.world = new SimWorld({ seed })
    this.process = this.world.process('holder')
  }

  static async start(seed: string): Promise<Holder> {
    const holder = new Holder(seed)
    await holder.open()
    return holder
  }

  async open(): Promise<void> {
    const { clock, disk } = this.process.life
    const say = (message: string, facts?: object): void => void this.said.push(`${message} ${JSON.stringify(facts)}`)
    const log: Log = { debug: say, info: say, warn: say, error: say }
    this.store = await this.settle(
      HintStore.open({ instruments: new Instruments(() => 0), disk, clock, log, clusterId }),
    )
  }

  async crash(options: CrashOptions = {}): Promise<void> {
    this.process.crash(options)
    this.process.restart()
    await this.open()
  }

  settle<T>(promise: Promise<T>): Promise<T> {
    return this.world.settle(promise)
  }

  /** A record that is stamped now. */
  record(name: string, bytes = 10): StoredRecord {
    const stamp = hlcOf(this.process.life.clock.wallMs(), ++this.#stamps % 65_536)
    const value = Buffer.alloc(bytes, name)
    return { ...stamp, node: 1, key: Buffer.from(name), tombstone: false, expiresAtMs: 0, value }
  }

  keep(owner: HintOwner, ...names: string[]): void {
    for (const name of names) this.store.keep(owner, this.record(name))
  }

  /** Writes and syncs, and closes the files so that they can be read. */
  async write({ sync = true, close = true }: { sync?: boolean; close?: boolean } = {}): Promise<void> {
    await this.settle(this.store.write(sync, () => close))
  }

  hints(owner: HintOwner = far): OwnerHints {
    const found = this.store.owners().find((hints) => hints.owner.id === owner.id)
    if (found === undefined) throw new Error(`no hints for ${owner.id}`)
    return found
  }

  /** Hands over everything that can be read, and returns the keys. */
  async handOver(owner: HintOwner = far): Promise<string[]> {
    const keys: string[] = []
    const hints = this.store.owners().find((one) => one.owner.id === owner.id)
    while (hints?.hasFront === true) {
      const reader = await this.settle(hints.openFront())
      if (reader === undefined) continue
      for (;;) {
        const page = await this.settle(hints.readFront(reader))
        if (page === undefined) break
        keys.push(...page.records.map(({ key }) => Buffer.from(key).toString()))
        hints.advanceFront(reader)
      }
      await this.settle(hints.closeFront(reader, true))
    }
    return keys
  }

  files(): string[] {
    return this.process.drive.paths().filter((path) => path.startsWith('hints/'))
  }
}
