import type { Disk } from '../env/index.js'
import { BackupReader } from './backup-reader.js'
import { BackupDamage } from './damage.js'
import type { Manifest } from './manifest.js'
import { segmentPath } from './names.js'
import { segmentHeaderBytes } from './segment-format.js'

/** How a check of a backup went. */
export interface BackupCheck {
  readonly records: number
  readonly bytes: number
  /** What is wrong, by file and place; empty: nothing. */
  readonly damages: readonly BackupDamage[]
}

/**
 * Reads everything that a backup needs, every byte of it; `read` is told of each slot. Goes on behind what is damaged, so
 * that all of it is named. Throws DiskErrors only.
 */
export async function verifyBackup(
  disk: Disk,
  manifest: Manifest,
  read: (records: number, bytes: number) => void,
): Promise<BackupCheck> {
  const damages: BackupDamage[] = []
  const unreadable = new Set<number>()
  const reader = new BackupReader(disk, manifest)
  let records = 0
  let bytes = 0
  const trying = async (attempt: () => Promise<void>): Promise<boolean> => {
    try {
      await attempt()
      return true
    } catch (error) {
      if (!(error instanceof BackupDamage)) throw error
      damages.push(error)
      return false
    }
  }
  try {
    for (const position of manifest.files.keys()) {
      if (!(await trying(() => reader.check(position)))) unreadable.add(position)
    }
    damages.push(...gaps(manifest))
    for (const place of manifest.slots) {
      // Of a file that cannot be read at all one word is enough.
      if (place.file === undefined || unreadable.has(place.file)) continue
      if (!(await trying(() => reader.read(place, () => undefined)))) continue
      records += place.records
      bytes += place.bytes
      read(place.records, place.bytes)
    }
  } finally {
    await reader.close()
  }
  return { records, bytes, damages }
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
