import { type Disk, DiskError } from '../env/index.js'
import { removeIfThere, syncDirectory } from '../wal/index.js'
import { BackupDamage, BackupRefused } from './damage.js'
import { type Manifest, readManifest, type SegmentFile } from './manifest.js'
import { fileOf, manifestPath, segmentPath } from './names.js'

/** One backup of a directory. */
export interface CatalogueEntry {
  readonly name: string
  /** Undefined: it is no backup, but what is left of one that was cut off, or is being written; or see `damage`. */
  readonly manifest: Manifest | undefined
  /** What is wrong with the manifest. */
  readonly damage: BackupDamage | undefined
  /** Segments that it needs and that are not there, or not as long as they were, by their paths. */
  readonly missing: readonly string[]
  /** Its own files. */
  readonly paths: readonly string[]
}

/** All backups of a directory, the oldest first. Throws DiskErrors; a directory that is not there holds none. */
export async function listBackups(disk: Disk): Promise<CatalogueEntry[]> {
  const owned = new Map<string, string[]>()
  for (const path of await listIfThere(disk)) {
    const file = fileOf(path)
    if (file === undefined) continue
    const paths = owned.get(file.name)
    if (paths === undefined) owned.set(file.name, [path])
    else paths.push(path)
  }
  const sizes = new Map<string, number | undefined>()
  const entries: CatalogueEntry[] = []
  for (const [name, paths] of [...owned].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const read = await manifestOrDamage(disk, name)
    const missing: string[] = []
    for (const file of read.manifest?.files ?? []) {
      if (!(await isThere(disk, file, sizes))) missing.push(segmentPath(file.backup, file.segment))
    }
    entries.push({ name, ...read, missing, paths })
  }
  return entries
}

/** The newest backup of a cluster that can go on: everything that it needs is there. */
export function newestOf(entries: readonly CatalogueEntry[], clusterId: string): Manifest | undefined {
  return entries.findLast(({ manifest, missing }) => manifest?.clusterId === clusterId && missing.length === 0)
    ?.manifest
}

/**
 * Removes a backup, or what is left of one; the files of others stay. Throws BackupRefused where another one needs it, or
 * where one cannot be read, so that nobody knows; and DiskErrors.
 */
export async function removeBackup(disk: Disk, name: string): Promise<CatalogueEntry> {
  const entries = await listBackups(disk)
  const entry = entries.find((each) => each.name === name)
  if (entry === undefined) throw new BackupRefused(`there is no backup ${name}`)
  for (const other of entries) {
    if (other === entry) continue
    if (other.damage !== undefined) {
      throw new BackupRefused(`${other.name} may need it, and cannot be read: remove that one first, or mend it`)
    }
    if (other.manifest?.files.some(({ backup }) => backup === name) === true) {
      throw new BackupRefused(`${other.name} needs what is in ${name}: remove that one first, and those after it`)
    }
  }
  // Without a manifest it is none: whatever happens from here on leaves no half of a backup.
  await removeIfThere(disk, manifestPath(name))
  await syncDirectory(disk, '.')
  for (const path of entry.paths) await removeIfThere(disk, path)
  await syncDirectory(disk, '.')
  return entry
}

async function listIfThere(disk: Disk): Promise<string[]> {
  try {
    return await disk.list('.')
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return []
    throw error
  }
}

async function manifestOrDamage(disk: Disk, name: string): Promise<Pick<CatalogueEntry, 'manifest' | 'damage'>> {
  try {
    return { manifest: await readManifest(disk, name), damage: undefined }
  } catch (error) {
    if (error instanceof BackupDamage) return { manifest: undefined, damage: error }
    throw error
  }
}

async function isThere(disk: Disk, file: SegmentFile, sizes: Map<string, number | undefined>): Promise<boolean> {
  const path = segmentPath(file.backup, file.segment)
  if (!sizes.has(path)) sizes.set(path, await sizeIfThere(disk, path))
  return sizes.get(path) === file.bytes
}

async function sizeIfThere(disk: Disk, path: string): Promise<number | undefined> {
  try {
    const file = await disk.open(path, 'read')
    try {
      return await file.size()
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return undefined
    throw error
  }
}
