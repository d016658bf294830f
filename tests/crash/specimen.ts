import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { assert, FatalError, limits, type Slot } from '@quorumkv/internal/base'
import { SimWorld } from '@quorumkv/internal/env-sim'
import { compareRecords, type StoredRecord } from '@quorumkv/internal/record'
import { slotOf } from '@quorumkv/internal/slots'
import type { StoreOptions } from '@quorumkv/internal/store'
import { SimStore } from '../../internal/store/fixture.conformance.js'
import { contentsOf } from '../../internal/store/model.conformance.js'
import type { Report } from './report.js'
import { type DiskWatcher, WatchedDisk } from './watched-disk.js'

/** What came of starting a damaged directory. Anything else is thrown. */
export type Outcome =
  | { readonly kind: 'full' }
  /** FatalError `corrupt`. */
  | { readonly kind: 'stop'; readonly message: string }
  /** The store said which slots it may lack something of, and the others are full. */
  | { readonly kind: 'lost slots'; readonly slots: readonly Slot[] }
  /** The last so many groups are gone, and nothing was said. */
  | { readonly kind: 'cut'; readonly groups: number }

/** Makes a store whose disk tells the watcher what it reads. */
class SpecimenStore extends SimStore {
  readonly #watcher: DiskWatcher

  constructor(watcher: DiskWatcher, overrides: Partial<StoreOptions>, world: SimWorld, drive?: SimStore['drive']) {
    super('unused', overrides, drive, world)
    this.#watcher = watcher
  }

  override get options(): StoreOptions {
    return { ...super.options, disk: new WatchedDisk(this.process.disk, this.#watcher) }
  }
}

/** A data directory whose whole history is known, from which every attempt starts anew, in a world of its own. */
export class Specimen {
  /** What `commit` was given, in order; each was acknowledged before the next. */
  readonly groups: readonly (readonly StoredRecord[])[]
  readonly #sim: SimStore
  readonly #full: ReadonlyMap<string, StoredRecord>

  private constructor(sim: SimStore, groups: readonly (readonly StoredRecord[])[]) {
    this.#sim = sim
    this.groups = groups
    this.#full = contentsOf(sim.store)
  }

  /** Plays a history on a fresh store. What stays of it is what a kill leaves then. */
  static async of(
    options: Partial<StoreOptions>,
    history: (sim: SimStore, commit: (...records: StoredRecord[]) => Promise<void>) => Promise<void>,
  ): Promise<Specimen> {
    const sim = new SpecimenStore({}, options, new SimWorld({ seed: 'specimen' }))
    await sim.open()
    const groups: StoredRecord[][] = []
    await history(sim, async (...records) => {
      groups.push(records)
      await sim.settle(sim.store.commit(records))
    })
    return new Specimen(sim, groups)
  }

  /** Paths of its segments, in order, without the one that is made for later (FORMAT.md, "Making a segment"). */
  get segments(): string[] {
    return this.paths('log/').filter((path) => path.endsWith('.log') && this.bytes(path)[0] !== 0)
  }

  /** The path of the segment that is made and has not begun; undefined: there is none. */
  get unbegun(): string | undefined {
    return this.paths('log/').find((path) => path.endsWith('.log') && this.bytes(path)[0] === 0)
  }

  /** Paths of segments that were, and will be used again. */
  get spares(): string[] {
    return this.paths('log/').filter((path) => path.endsWith('.spare'))
  }

  /** Paths of its snapshots, oldest first. */
  get snapshots(): string[] {
    return this.paths('snapshots/')
  }

  paths(prefix: string): string[] {
    return this.#sim.drive.paths().filter((path) => path.startsWith(prefix))
  }

  bytes(path: string): Uint8Array {
    const bytes = this.#sim.drive.peek(path)
    assert(bytes !== undefined, `the specimen has no ${path}`)
    return bytes
  }

  /**
   * What comes of the directory when `damage` has been done to it. Throws where the store serves what it must not, then
   * or, with `later`, when that has been written as well and the power was cut once more.
   */
  async after(
    damage: (victim: SimStore) => Promise<void> | void,
    later: readonly StoredRecord[] = [],
  ): Promise<Outcome> {
    const { victim, error } = await this.start(damage)
    if (error === undefined) {
      const outcome = this.#judge(victim)
      if (later.length > 0) await goOn(victim, later)
      return outcome
    }
    if (error instanceof FatalError && error.reason === 'corrupt') return { kind: 'stop', message: error.message }
    throw error
  }

  /**
   * Starts the directory when `damage` has been done to it: the store that has come of it, or else the error that its start
   * failed with. Throws where more memory was asked for than the files explain.
   */
  async start(
    damage: (victim: SimStore) => Promise<void> | void,
  ): Promise<{ readonly victim: SimStore; readonly error: unknown }> {
    const world = new SimWorld({ seed: 'victim' })
    let largest = 0
    const watcher: DiskWatcher = {
      reading: (_, bytes) => {
        largest = Math.max(largest, bytes)
      },
    }
    const { tuning } = this.#sim.options
    const drive = world.crashClone(this.#sim.drive, 'keep')
    const victim = new SpecimenStore(watcher, tuning === undefined ? {} : { tuning }, world, drive)
    await damage(victim)
    const sizes = victim.drive.paths().map((path) => victim.drive.peek(path)!.length)
    const error = await victim.openFailure()
    // No length in a file may make the store ask for more than the file holds, or than it reads at a time.
    const most = Math.min(limits.readChunkBytes, Math.max(...sizes) + 1)
    if (largest > most) throw new Error(`a buffer of ${largest} bytes was read into, where ${most} are enough`)
    return { victim, error }
  }

  #judge(victim: SimStore): Outcome {
    const { store } = victim
    const found = contentsOf(store)
    const lost = new Set<Slot>(store.lostSlots())
    if (lost.size > 0) {
      this.#checkWritten(found)
      for (const [key, record] of this.#full) {
        if (lost.has(slotOf(record.key))) continue
        const got = found.get(key)
        if (got === undefined || compareRecords(got, record) !== 0) throw new Error(`${key} is wrong in a sound slot`)
      }
      return { kind: 'lost slots', slots: [...lost] }
    }
    if (equalContents(found, this.#full)) return { kind: 'full' }
    const kept = this.#checkWritten(found)
    if (equalContents(found, contentsAfter(this.groups.slice(0, kept)))) {
      return { kind: 'cut', groups: this.groups.length - kept }
    }
    throw new Error(`neither everything nor what the first ${kept} of ${this.groups.length} groups wrote`)
  }

  /** Throws where something is found that nobody wrote; returns behind which group the last find was written. */
  #checkWritten(found: ReadonlyMap<string, StoredRecord>): number {
    let last = 0
    for (const [key, record] of found) {
      const group = this.groups.findIndex((records) =>
        records.some((written) => sameKey(written, key) && compareRecords(written, record) === 0),
      )
      if (group === -1) throw new Error(`${key}@${record.lo} was never written`)
      last = Math.max(last, group + 1)
    }
    return last
  }
}

/** Writes these, one after the other, and starts again: what was there and what has come is there. */
async function goOn(victim: SimStore, later: readonly StoredRecord[]): Promise<void> {
  const before = [...contentsOf(victim.store).values()]
  for (const record of later) await victim.settle(victim.store.commit([record]))
  await victim.reopen('lose')
  const expected = contentsAfter([before, later])
  if (!equalContents(contentsOf(victim.store), expected)) throw new Error('what was written later is not what is there')
}

function sameKey(record: StoredRecord, key: string): boolean {
  return new TextDecoder('latin1').decode(record.key) === key
}

function equalContents(a: ReadonlyMap<string, StoredRecord>, b: ReadonlyMap<string, StoredRecord>): boolean {
  if (a.size !== b.size) return false
  for (const [key, record] of a) {
    const other = b.get(key)
    if (other === undefined || compareRecords(record, other) !== 0) return false
  }
  return true
}

function contentsAfter(groups: readonly (readonly StoredRecord[])[]): Map<string, StoredRecord> {
  const contents = new Map<string, StoredRecord>()
  for (const record of groups.flat()) {
    const key = new TextDecoder('latin1').decode(record.key)
    const known = contents.get(key)
    if (known === undefined || compareRecords(record, known) > 0) contents.set(key, record)
  }
  return contents
}

// --- damage

/** Makes the file read as `bytes`, also behind the back of whoever has it open. */
export async function overwrite(victim: SimStore, path: string, bytes: Uint8Array): Promise<void> {
  const file = await victim.settle(victim.process.disk.open(path, 'write'))
  await victim.settle(file.truncate(0))
  await victim.settle(file.write(bytes, 0))
  await victim.settle(file.close())
}

export async function cut(victim: SimStore, path: string, size: number): Promise<void> {
  const file = await victim.settle(victim.process.disk.open(path, 'write'))
  await victim.settle(file.truncate(size))
  await victim.settle(file.close())
}

export async function remove(victim: SimStore, path: string): Promise<void> {
  await victim.settle(victim.process.disk.remove(path))
}

/** Puts a file there, instead of the one that there may be. */
export async function create(victim: SimStore, path: string, bytes: Uint8Array): Promise<void> {
  if (victim.drive.paths().includes(path)) await remove(victim, path)
  const file = await victim.settle(victim.process.disk.open(path, 'create'))
  await victim.settle(file.write(bytes, 0))
  await victim.settle(file.close())
}

/** Where the data of a file that goes on with zeros ends. */
export function filledBytes(bytes: Uint8Array): number {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return end
}

/** Every so many places, from a drawn one on; in the long form every place. */
export function* places(from: number, to: number, stride: number, phase: number): Generator<number> {
  for (let at = from + (phase % stride); at < to; at += stride) yield at
}

/** What a length may say instead of the truth: nothing, one less or more, the most that a frame may have, the most. */
export function lies(honest: number): number[] {
  return [0, honest - 1, honest + 1, limits.logFrameBytesMax, 0xffffffff].filter((value) => value !== honest)
}

// --- memory

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Counts how far the heap, and what is held outside of it, grow while `work` runs. Throws above `maxBytes`. */
export async function withFlatMemory(report: Report, maxBytes: number, work: () => Promise<void>): Promise<void> {
  const held = (): number => {
    collectGarbage()
    collectGarbage() // what finalizers have let go
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const before = held()
  await work()
  const grown = held() - before
  report.highest('bytes grown at most', Math.max(0, grown))
  assert(grown <= maxBytes, `the heap has grown by ${grown} bytes`)
}
