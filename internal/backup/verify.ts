import { type Disk, DiskError } from '../env/index.js'
import { BackupReader } from './backup-reader.js'
import { BackupDamage, BackupUnreadable } from './damage.js'
import { hexOfDigest, type Manifest, type SlotPlace } from './manifest.js'
import { segmentPath } from './names.js'
import { segmentHeaderBytes } from './segment-format.js'

/** How a check of a backup went. */
export interface BackupCheck {
  readonly records: number
  readonly bytes: number
  /** What is wrong, by file and place; empty: nothing. */
  readonly damages: readonly BackupDamage[]
  /** Slots that cannot be restored. */
  readonly slots: ReadonlySet<number>
}

/** By slot: where it was, and how it was there. */
export type KnownSlots = Map<number, { readonly place: string; readonly damage: BackupDamage | undefined }>

export interface CheckOptions {
  /** Only this slot and those behind it. Default: all. */
  readonly from?: number
  /** What was found of each slot in the backup that was checked before, which mostly shares most of them: each is read once. */
  readonly known?: KnownSlots
  /** Is told of each slot that is whole. */
  readonly read?: (records: number, bytes: number) => void
}

/**
 * Reads everything that a backup needs, every byte of it. Goes on behind what is damaged or cannot be read, so that all of it
 * is named.
 */
export async function verifyBackup(disk: Disk, manifest: Manifest, options: CheckOptions = {}): Promise<BackupCheck> {
  const { from = 0, known = new Map(), read } = options
  const damages: BackupDamage[] = []
  const slots = new Set<number>()
  const unreadableFiles = new Set<number>()
  const reader = new BackupReader(disk, manifest)
  const places = manifest.slots.filter(({ slot, file }) => slot >= from && file !== undefined)
  let records = 0
  let bytes = 0
  try {
    for (const position of new Set(places.map(({ file }) => file!))) {
      const damage = await damageIn(() => reader.check(position))
      if (damage === undefined) continue
      damages.push(damage)
      unreadableFiles.add(position)
    }
    if (from === 0) damages.push(...gaps(manifest))
    for (const place of places) {
      const key = keyOf(place, manifest)
      // Of a file that cannot be read at all one word is enough.
      if (!unreadableFiles.has(place.file!)) {
        const before = known.get(place.slot)
        const isKnown = before?.place === key
        const damage = isKnown ? before.damage : await damageIn(() => reader.read(place, () => undefined))
        known.set(place.slot, { place: key, damage })
        if (damage === undefined) {
          records += place.records
          bytes += place.bytes
          read?.(place.records, place.bytes)
          continue
        }
        damages.push(damage)
      }
      slots.add(place.slot)
    }
  } finally {
    await reader.close()
  }
  return { records, bytes, damages, slots }
}

/** All that decides whether a slot is whole. */
function keyOf({ slot, file, offset, bytes, blocks, records, digest, chain }: SlotPlace, { files }: Manifest): string {
  const { id, segment } = files[file!]!
  return [id, segment, slot, offset, bytes, blocks, records, hexOfDigest(digest), chain].join(' ')
}

async function damageIn(attempt: () => Promise<void>): Promise<BackupDamage | undefined> {
  try {
    await attempt()
    return undefined
  } catch (error) {
    if (error instanceof BackupDamage) return error
    if (error instanceof DiskError) return new BackupUnreadable(error.path, error)
    throw error
  }
}

/** A backup's own segments hold its slots and nothing else: bytes that no slot claims would be read by nobody. */
function gaps(manifest: Manifest): BackupDamage[] {
  const found: BackupDamage[] = []
  for (const [position, { backup, segment, bytes }] of manifest.files.entries()) {
    if (backup !== manifest.name) continue
    const places = manifest.slots.filter(({ file }) => file === position).sort((a, b) => a.offset - b.offset)
    let at = segmentHeaderBytes
    for (const { offset, bytes: length, slot } of places) {
      if (offset !== at)
        found.push(new BackupDamage(segmentPath(backup, segment), at, `slot ${slot}`, `it at ${offset}`))
      at = offset + length
    }
    if (at !== bytes)
      found.push(new BackupDamage(segmentPath(backup, segment), at, 'the end', `${bytes - at} bytes more`))
  }
  return found
}
