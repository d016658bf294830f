import { assert, type Slot } from '../base/index.js'
import type { Disk } from '../env/index.js'
import { slotCount } from '../slots/index.js'
import { corruption, formatVersion, removeIfThere, syncDirectory } from '../wal/index.js'
import { checkDocumentFormat, readJsonDocument, writeJsonDocument } from './durable-file.js'

/*
 * The document `lost` (FORMAT.md, "Document"): of which slots this directory may lack records that the node once
 * acknowledged. Protocol-Aware Recovery (Alagappan et al., FAST 2018) keeps the same distinction: what was never
 * written may be answered as absent, what was damaged may not.
 */
export const lostSlotsName = 'lost'
const contentsOffset = 24

/** A slot may be given in any order and more than once; what comes back is in order, each slot once. */
export function normalizeSlots(slots: Iterable<number>): Slot[] {
  return [...new Set(slots)].sort((a, b) => a - b) as Slot[]
}

/** The slots that the document `lost` names. Throws an Error that tells why it names none. */
export function parseLostSlots(contents: Readonly<Record<string, unknown>>): Slot[] {
  const ranges = contents['slots']
  if (!Array.isArray(ranges)) throw new Error('no list of slots')
  const slots: Slot[] = []
  let next = 0
  for (const range of ranges as readonly unknown[]) {
    const [first, last] = Array.isArray(range) && range.length === 2 ? (range as readonly unknown[]) : []
    const ok = Number.isInteger(first) && Number.isInteger(last) && (first as number) >= next
    if (!ok || (last as number) < (first as number) || (last as number) >= slotCount) {
      throw new Error(`${JSON.stringify(range)} where a range of slots from ${next} on should be`)
    }
    for (let slot = first as number; slot <= (last as number); slot++) slots.push(slot as Slot)
    next = (last as number) + 1
  }
  return slots
}

/** What the document says for these slots, which are in order. */
export function lostSlotsContents(slots: readonly Slot[]): Readonly<Record<string, unknown>> {
  const ranges: [number, number][] = []
  for (const slot of slots) {
    const open = ranges.at(-1)
    if (open !== undefined && open[1] === slot - 1) open[1] = slot
    else ranges.push([slot, slot])
  }
  return { format: formatVersion, slots: ranges }
}

/**
 * The slots that a data directory has lost, in order; empty: none. Throws FatalError `corrupt` where the document is
 * damaged, and DiskErrors.
 */
export async function readLostSlots(disk: Disk): Promise<Slot[]> {
  const contents = await readJsonDocument(disk, lostSlotsName)
  if (contents === undefined) return []
  checkDocumentFormat(lostSlotsName, contents)
  try {
    return parseLostSlots(contents)
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error)
    throw corruption({ path: lostSlotsName, offset: contentsOffset, expected: 'lost slots', found }, error)
  }
}

/**
 * Says durably that these slots, and no others, are lost. For a directory that no store has open. Throws FatalError
 * `disk-failed` where a sync fails, and DiskErrors.
 */
export async function writeLostSlots(disk: Disk, slots: Iterable<Slot>): Promise<void> {
  const lost = normalizeSlots(slots)
  assert(
    lost.every((slot) => Number.isInteger(slot) && slot >= 0 && slot < slotCount),
    'a lost slot is a slot',
  )
  if (lost.length > 0) await writeJsonDocument(disk, lostSlotsName, lostSlotsContents(lost))
  else if (await removeIfThere(disk, lostSlotsName)) await syncDirectory(disk, '.')
}

/** The lost slots of an open store: asked on every operation, written when some have been refilled. */
export class LostSlots {
  readonly #disk: Disk
  readonly #lost = new Uint8Array(slotCount)
  #count = 0
  /** Refilled slots that no document says yet. */
  readonly #pending = new Set<Slot>()
  /** The write under way; it never rejects. */
  #running: Promise<void> = Promise.resolve()
  /** The write behind that one, which takes everything that comes until it begins. */
  #queued: Promise<void> | undefined

  /** `slots` are in the document already. */
  constructor(disk: Disk, slots: readonly Slot[]) {
    this.#disk = disk
    for (const slot of slots) this.#lost[slot] = 1
    this.#count = slots.length
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
    await writeLostSlots(
      this.#disk,
      this.list().filter((slot) => !whole.has(slot)),
    )
    for (const slot of done) {
      this.#count -= this.#lost[slot]!
      this.#lost[slot] = 0
    }
  }
}
