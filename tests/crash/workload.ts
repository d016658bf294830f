import { parseNodeId } from '@quorumkv/internal/base'
import type { Disk } from '@quorumkv/internal/env'
import { type CrashPolicy, type SimDisk, SimRandom, SimWorld } from '@quorumkv/internal/env-sim'
import type { StoredRecord } from '@quorumkv/internal/record'
import { readDocument, type StoreOptions, writeDocument, writeIdentity } from '@quorumkv/internal/store'
import { put, SimStore, tombstone } from '../../internal/store/fixture.conformance.js'
import { CommitModel, type Moment } from '../../internal/store/model.conformance.js'
import { type DiskChange, type DiskWatcher, WatchedDisk } from './watched-disk.js'

/** A SimStore whose disk tells what it does. */
export class WatchedStore extends SimStore {
  readonly #watcher: DiskWatcher

  constructor(watcher: DiskWatcher, world: SimWorld, overrides: Partial<StoreOptions> = {}, drive?: SimDisk) {
    super('unused', overrides, drive, world)
    this.#watcher = watcher
  }

  override get options(): StoreOptions {
    return { ...super.options, disk: this.disk }
  }

  get disk(): Disk {
    return new WatchedDisk(this.process.disk, this.#watcher)
  }
}

/** What power cuts would leave at one moment, one image for each policy. */
export interface CrashPoint extends Moment {
  /** What had just been done. */
  readonly change: DiskChange
  readonly path: string
  readonly images: readonly { readonly policy: CrashPolicy; readonly drive: SimDisk }[]
  /** The lowest and highest number that the document may hold. */
  readonly documentFrom: number
  readonly documentTo: number
}

/** A document that only ever grows, as the clock's ceiling. */
export const documentName = 'clock'

/** The number in the document; -1: there is none. */
export async function readNumber(disk: Disk): Promise<number> {
  const payload = await readDocument(disk, documentName)
  return payload === undefined ? -1 : Number(new TextDecoder().decode(payload))
}

type PendingPoint = Pick<CrashPoint, 'change' | 'path' | 'images'>

/** Events whose acknowledgements a background sync must have covered by now, with room for a busy disk. */
const intervalSlackMs = 25

function uniformRecord(key: number, stamp: number): StoredRecord {
  return put(`key-${10 + key}`, stamp, `value ${String(stamp).padStart(10, '0')}`)
}
const stepsMax = 45

/**
 * One run of a store under a drawn load: commits of all kinds, snapshots, short transfers, a disk that is full for a
 * while, clean stops, crashes and starts. Whenever the disk has changed, images of what a power cut would leave are
 * kept, with what the store had promised until its next change.
 */
export class Workload {
  readonly seed: string
  readonly fsync: StoreOptions['fsync']
  readonly model: CommitModel = new CommitModel(() => this.#wallMs())
  readonly points: CrashPoint[] = []
  readonly sim: WatchedStore
  readonly #random: SimRandom
  readonly #policies: readonly CrashPolicy[]
  /**
   * All records are alike in length: where several frames were unsynced and the first is lost, what is written in its
   * place ends just where the next one starts.
   */
  readonly #uniform: boolean
  readonly #fsyncIntervalMs = 5
  #event = 0
  /** Every event's time, to know what an interval sync must have covered. */
  readonly #eventMs: number[] = [0]
  #stamp = 0
  #syncedAt = 0
  /** Files of the log with something unsynced, and for each sync under way the event at which it began. */
  readonly #dirty = new Set<string>()
  readonly #syncBegan = new Map<string, number>()
  #pending: PendingPoint | undefined
  /** What had been promised when the last life ended, until the next one has started. */
  #recovering: Moment | undefined
  #documentAcked = -1
  #documentAsked = -1
  #documentRunning = false

  constructor(seed: string, policies: readonly CrashPolicy[]) {
    this.seed = seed
    this.#policies = policies
    this.#random = new SimRandom(`${seed}/load`)
    this.fsync = this.#random.pick(['always', 'always', 'always', 'always', 'interval', 'never'])
    this.#uniform = this.fsync !== 'always' && this.#random.chance(0.5)
    const watcher: DiskWatcher = {
      beginning: (change, path) => this.#beginning(change, path),
      changed: (change, path) => this.#changed(change, path),
    }
    this.sim = new WatchedStore(watcher, new SimWorld({ seed }), {
      fsync: this.fsync,
      fsyncIntervalMs: this.#fsyncIntervalMs,
      snapshotWalBytes: this.#random.pick([0, 6_000, 12_000]),
      purgeTimeMs: () => this.#wallMs(),
      snapshotIntervalMs: this.#random.pick([0, 40]),
      tuning: {
        logSegmentBytes: this.#random.pick([2_048, 4_096]),
        logPreallocateBytes: this.#random.pick([512, 2_048]),
      },
    })
  }

  async run(): Promise<void> {
    const { sim } = this
    if (this.#random.chance(0.2)) sim.drive.faults.setShortTransfers(0.3)
    const { clusterId, incarnation } = sim.options
    await sim.settle(writeIdentity(sim.disk, { nodeId: parseNodeId('n1'), incarnation, clusterId }))
    await sim.open()
    const steps = 15 + this.#random.below(stepsMax - 15)
    for (let step = 0; step < steps; step++) await this.#step()
    await sim.world.advance(this.#random.pick([0, 1, 50]))
    this.#closePoint()
  }

  // --- steps

  async #step(): Promise<void> {
    const { sim } = this
    const dice = this.#random.below(100)
    if (dice < 52) await this.#commit()
    else if (dice < 60) await this.#burst()
    else if (dice < 72) await sim.world.advance(this.#random.between(0, 3))
    else if (dice < 76) await sim.world.advance(this.#random.between(20, 60))
    else if (dice < 83) await this.#snapshot()
    else if (dice < 89) await this.#document()
    else if (dice < 92) sim.drive.faults.setFreeBytes(this.#random.below(4_000))
    else if (dice < 95) await this.#findRoom()
    else if (dice < 97) await this.#restart(() => sim.settle(sim.store.close()))
    else await this.#restart(async () => {})
  }

  async #commit(): Promise<void> {
    const most = this.#uniform ? 1 : this.#random.pick([1, 2, 6])
    const records = Array.from({ length: 1 + this.#random.below(most) }, () => this.#record())
    const committed = this.model.commit(this.sim.store, records)
    if (this.#random.chance(0.6)) await this.sim.settle(committed)
  }

  async #burst(): Promise<void> {
    const commits = Array.from({ length: 2 + this.#random.below(6) }, () =>
      this.model.commit(this.sim.store, [this.#record()]),
    )
    if (this.#random.chance(0.5)) await this.sim.settle(Promise.all(commits))
  }

  async #snapshot(): Promise<void> {
    const outcome = this.sim.store.snapshot().then(
      () => 'taken',
      (error: { readonly code?: string }) => error.code ?? String(error),
    )
    if (!this.#random.chance(0.5)) return
    const code = await this.sim.settle(outcome)
    if (code !== 'taken' && code !== 'read-only') throw new Error(`no snapshot: ${code}`)
  }

  async #document(): Promise<void> {
    if (this.#documentRunning) return
    const number = ++this.#documentAsked
    this.#documentRunning = true
    const bytes = new TextEncoder().encode(String(number))
    const written = writeDocument(this.sim.disk, documentName, bytes).then(
      () => {
        this.#documentAcked = number
      },
      (error: { readonly code?: string }) => {
        if (error.code !== 'full') throw error
      },
    )
    const ended = written.finally(() => {
      this.#documentRunning = false
    })
    if (this.#random.chance(0.5)) await this.sim.settle(ended)
    else await this.sim.world.advance(this.#random.between(0, 0.5))
  }

  async #findRoom(): Promise<void> {
    this.sim.drive.faults.setFreeBytes(1e9)
    await this.sim.world.advance(this.#random.pick([0, 1_200]))
  }

  /** Ends this life after `before`, and goes on with another from what the crash has left. */
  async #restart(before: () => Promise<void>): Promise<void> {
    await before()
    const { sim, model } = this
    sim.drive.faults.setFreeBytes(1e9)
    this.#closePoint()
    const promised = this.#promised()
    this.#recovering = promised
    const policy = this.#random.pick<CrashPolicy>(['random', 'random', 'lose', 'keep'])
    const { documentFrom, documentTo } = this.#documentRange()
    sim.crash(policy)
    this.#documentRunning = false
    this.#dirty.clear()
    this.#syncBegan.clear()
    await sim.open()
    model.check(sim.store, promised)
    const number = await sim.settle(readNumber(sim.disk))
    if (number < documentFrom || number > documentTo) throw new Error(`the document went to ${number}`)
    this.#documentAcked = number
    model.at = ++this.#event
    this.#eventMs.push(sim.world.nowMs)
    model.goOnFrom(sim.store)
    // What a start has shown is durable, whatever was promised before.
    this.#syncedAt = this.#event
    this.#recovering = undefined
  }

  /** One record for a key that may be there and one for another, above all others. */
  laterRecords(stamp: number): readonly StoredRecord[] {
    if (this.#uniform) return [uniformRecord(0, stamp), uniformRecord(80, stamp)]
    return [put('key-1', stamp, 'again'), put('later', stamp)]
  }

  #record(): StoredRecord {
    if (this.#uniform) return uniformRecord(this.#random.below(14), ++this.#stamp)
    const key = `key-${this.#random.below(14)}`
    // One in eight comes late: lower than what may be there already, and above everything of its own key or not.
    const stamp =
      ++this.#stamp * 16 - (this.#random.chance(0.12) ? 16 * this.#random.below(12) + 1 + this.#random.below(15) : 0)
    const unique = Math.max(stamp, 1) * 1_024 + (this.#stamp % 1_024)
    const kind = this.#random.below(10)
    if (kind < 2) return tombstone(key, unique)
    if (kind === 2) return put(key, unique, 'x'.repeat(this.#random.pick([511, 1_400, 3_000])))
    const record = put(key, unique, `${key}@${unique}`)
    if (kind > 4) return record
    const expiresAtMs = this.#random.pick([1, this.#wallMs() + this.#random.below(1_500), 2 ** 47])
    return { ...record, expiresAtMs }
  }

  #wallMs(): number {
    return this.sim.process.clock.wallMs()
  }

  // --- crash points

  #beginning(change: DiskChange, path: string): void {
    if (!path.startsWith('log/')) return
    if (change === 'write') this.#dirty.add(path)
    else this.#syncBegan.set(path, this.#event)
  }

  #changed(change: DiskChange, path: string): void {
    this.#closePoint()
    this.#event++
    this.#eventMs.push(this.sim.world.nowMs)
    this.model.at = this.#event
    if (change === 'sync' && path.startsWith('log/')) {
      this.#dirty.delete(path)
      if (this.#dirty.size === 0) this.#syncedAt = this.#syncBegan.get(path)!
    }
    const images = this.#policies.map((policy) => ({ policy, drive: this.sim.drive.crashClone(policy) }))
    this.#pending = { change, path, images }
  }

  /** The images of the last change hold for everything that was acknowledged until the next one, or until now. */
  #closePoint(): void {
    if (this.#pending === undefined) return
    this.points.push({ ...this.#pending, ...this.#promised(), ...this.#documentRange() })
    this.#pending = undefined
  }

  #promised(): Moment {
    const at = this.#event
    if (this.#recovering !== undefined) return { at, promisedAt: this.#recovering.promisedAt }
    if (this.fsync === 'always') return { at, promisedAt: at }
    if (this.fsync === 'never') return { at, promisedAt: this.#syncedAt }
    const coveredMs = this.sim.world.nowMs - this.#fsyncIntervalMs - intervalSlackMs
    let covered = at
    while (covered > 0 && this.#eventMs[covered]! > coveredMs) covered--
    return { at, promisedAt: Math.max(this.#syncedAt, covered - 1) }
  }

  #documentRange(): { documentFrom: number; documentTo: number } {
    return { documentFrom: this.#documentAcked, documentTo: this.#documentAsked }
  }
}
