import { assert, type Slot } from '../base/index.js'
import type { Disk } from '../env/index.js'
import { slotCount } from '../slots/index.js'
import { corruption, formatVersion, removeIfThere, syncDirectory } from '../wal/index.js'
import { checkDocumentFormat, readJsonDocument, writeJsonDocument } from './durable-file.js'
import { forgetHandoverProgress } from './handover-progress.js'
import { parseRanges, rangesOf } from './table/slot-ranges.js'

/*
 * The document `lost` (FORMAT.md, "Document"): of which slots this directory may lack records that the node once
 * acknowledged. Protocol-Aware Recovery (Alagappan et al., FAST 2018) keeps the same distinction: what was never
 * written may be answered as absent, what was damaged may not.
 */
export const lostSlotsName = 'lost'
const contentsOffset = 24

/** A slot may be given in any order and more than once; what comes back is in order, each slot once. */
export function normalizeSlots(slots: Iterable<number>): Slot[] {
  const given = [...slots]
  const isNormal = given.every((slot, i) => i === 0 || given[i - 1]! < slot)
  return (isNormal ? given : [...new Set(given)].sort((a, b) => a - b)) as Slot[]
}

/** The slots that the document `lost` names. Throws an Error that tells why it names none. */
export function parseLostSlots(contents: Readonly<Record<string, unknown>>): Slot[] {
  return parseRanges(contents['slots'])
}

/** What the document says for these slots, which are in order. */
export function lostSlotsContents(
  lost: readonly Slot[],
  accepted: readonly Slot[] = [],
): Readonly<Record<string, unknown>> {
  const contents = { format: formatVersion, slots: rangesOf(lost) }
  return accepted.length === 0 ? contents : { ...contents, accepted: rangesOf(accepted) }
}

/** What the document `lost` says, in order. */
export interface LostDocument {
  /** Slots of which something may be missing. */
  readonly lost: readonly Slot[]
  /** Slots whose loss was accepted since the last start: they are whole from now on, but their floors promise too much. */
  readonly accepted: readonly Slot[]
}

/**
 * The slots that a data directory has lost, in order; empty: none. Throws FatalError `corrupt` where the document is
 * damaged, and DiskErrors.
 */
export async function readLostSlots(disk: Disk): Promise<readonly Slot[]> {
  return (await readLostDocument(disk)).lost
}

/** Throws like `readLostSlots`. */
export async function readLostDocument(disk: Disk): Promise<LostDocument> {
  const contents = await readJsonDocument(disk, lostSlotsName)
  if (contents === undefined) return { lost: [], accepted: [] }
  checkDocumentFormat(lostSlotsName, contents)
  try {
    const { accepted } = contents
    return { lost: parseLostSlots(contents), accepted: accepted === undefined ? [] : parseRanges(accepted) }
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error)
    throw corruption({ path: lostSlotsName, offset: contentsOffset, expected: 'lost slots', found }, error)
  }
}

/**
 * Says durably that these slots, and no others, are lost. For a directory that no store has open. Throws FatalError
 * `disk-failed` where a sync fails, and DiskErrors.
 */
export async function writeLostSlots(disk: Disk, slots: Iterable<Slot>, accepted: readonly Slot[] = []): Promise<void> {
  const lost = normalizeSlots(slots)
  assert(
    lost.every((slot) => Number.isInteger(slot) && slot >= 0 && slot < slotCount),
    'a lost slot is a slot',
  )
  const contents = lostSlotsContents(lost, accepted)
  if (lost.length + accepted.length > 0) await writeJsonDocument(disk, lostSlotsName, contents)
  else if (await removeIfThere(disk, lostSlotsName)) await syncDirectory(disk, '.')
}

/**
 * Says durably that no slot counts as lost any more, though what they lack does not come back. For a directory that no
 * store has open. Throws like `writeLostSlots` and `readLostSlots`.
 */
export async function acceptLostSlots(disk: Disk): Promise<void> {
  const { lost, accepted } = await readLostDocument(disk)
  // What has been merged from others may be among what is given up.
  if (lost.length > 0) await forgetHandoverProgress(disk)
  await writeLostSlots(disk, [], normalizeSlots([...lost, ...accepted]))
}

/** The lost slots of an open store: asked on every operation, written when some have been refilled. */
export class LostSlots {
  readonly #disk: Disk
  readonly #lost = new Uint8Array(slotCount)
  #count = 0
  #accepted: readonly Slot[]
  /** Refilled slots that no document says yet. */
  readonly #pending = new Set<Slot>()
  /** The write under way; it never rejects. */
  #running: Promise<void> = Promise.resolve()
  /** The write behind that one, which takes everything that comes until it begins. */
  #queued: Promise<void> | undefined

  /** These are in the document already. */
  constructor(disk: Disk, { lost, accepted }: LostDocument) {
    this.#disk = disk
    for (const slot of lost) this.#lost[slot] = 1
    this.#count = lost.length
    this.#accepted = accepted
  }

  get count(): number {
    return this.#count
  }

  has(slot: Slot): boolean {
    return this.#lost[slot] === 1
  }

  /** In order. */
  list(): Slot[] {
    const slots: Slot[] = []
    for (let slot = 0; slot < slotCount; slot++) if (this.#lost[slot] === 1) slots.push(slot as Slot)
    return slots
  }

  /**
   * These slots are whole again. They count as lost until that is durable, and when writing it fails. `syncData` makes
   * durable what they were refilled with: with `--fsync never` or `interval` the document could outlive the data, and a
   * slot that is lost once more would vote. Throws what `syncData` throws, FatalError `disk-failed`, and DiskErrors.
   */
  refilled(slots: readonly Slot[], syncData: () => Promise<void>): Promise<void> {
    for (const slot of slots) if (this.has(slot)) this.#pending.add(slot)
    if (this.#pending.size === 0) return Promise.resolve()
    this.#queued ??= this.#afterRunning(syncData)
    return this.#queued
  }

  /** These slots are lost from now on, whatever is in them. Resolves when that is durable. Throws like `refilled`. */
  lose(slots: readonly Slot[], syncData: () => Promise<void>): Promise<void> {
    for (const slot of slots) {
      this.#pending.delete(slot)
      this.#count += 1 - this.#lost[slot]!
      this.#lost[slot] = 1
    }
    this.#queued ??= this.#afterRunning(syncData)
    return this.#queued
  }

  /** Slots whose loss was accepted before this start. */
  get accepted(): readonly Slot[] {
    return this.#accepted
  }

  /** Their floors are cleared in the log: the document need not name them any more. Throws like `refilled`. */
  async forgetAccepted(syncData: () => Promise<void>): Promise<void> {
    this.#accepted = []
    this.#queued ??= this.#afterRunning(syncData)
    await this.#queued
  }

  /** Waits for what is being written. */
  async idle(): Promise<void> {
    while (this.#queued !== undefined) await Promise.allSettled([this.#queued])
    await this.#running
  }

  async #afterRunning(syncData: () => Promise<void>): Promise<void> {
    await this.#running
    this.#queued = undefined
    const done = [...this.#pending]
    this.#pending.clear()
    const writing = this.#write(done, syncData)
    // Who asked for it is told of its failure; the next one only has to wait until it is over.
    this.#running = writing.catch(() => undefined)
    return await writing
  }

  async #write(done: readonly Slot[], syncData: () => Promise<void>): Promise<void> {
    await syncData()
    const whole = new Set(done)
    const lost = this.list().filter((slot) => !whole.has(slot))
    await writeLostSlots(this.#disk, lost, this.#accepted)
    for (const slot of done) {
      this.#count -= this.#lost[slot]!
      this.#lost[slot] = 0
    }
  }
}
