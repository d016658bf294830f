import { type Disk, DiskError } from '../env/index.js'
import { removeIfThere, syncDirectory } from '../wal/index.js'
import { BackupDamage, BackupRefused, BackupUnreadable } from './damage.js'
import { type Manifest, readManifest } from './manifest.js'
import { fileOf, manifestPath, segmentPath } from './names.js'

/** What a manifest says of the backup as a whole: the slots of a thousand backups at once would not fit into memory. */
export type ManifestHead = Omit<Manifest, 'slots'>

/** What all slots of a backup come to. */
export interface BackupTotals {
  readonly records: number
  /** Of their blocks. */
  readonly bytes: number
  /** What of that is in the backup's own segments. */
  readonly ownBytes: number
}

/** A segment that a backup needs and cannot have. */
export interface MissingSegment {
  readonly path: string
  /** What there is in its place, in words. */
  readonly found: string
  /** False: it is not there, or not as long as it was. True: nobody knows, the disk does not tell. */
  readonly isUnreadable: boolean
}

/** One backup of a directory. */
export interface CatalogueEntry {
  readonly name: string
  /** Undefined: it is no backup, but what is left of one that was cut off, or is being written; or see `damage`. */
  readonly head: ManifestHead | undefined
  /** There where `head` is. */
  readonly totals: BackupTotals | undefined
  /** What is wrong with the manifest. */
  readonly damage: BackupDamage | undefined
  /** Segments that it needs, and that are not there as they were. */
  readonly missing: readonly MissingSegment[]
  /** Its own files. */
  readonly paths: readonly string[]
}

/** The files of each backup of a directory by its name, the oldest first. */
type Names = ReadonlyMap<string, readonly string[]>

/** Segments that have been looked at, and their sizes; an error: why there is none to be had. */
type Sizes = Map<string, number | DiskError>

/**
 * All backups of a directory, the oldest first. Throws a DiskError where the directory cannot be read; one that is not
 * there holds none.
 */
export async function listBackups(disk: Disk): Promise<CatalogueEntry[]> {
  const sizes: Sizes = new Map()
  const entries: CatalogueEntry[] = []
  for (const [name, paths] of await namesIn(disk)) entries.push((await read(disk, name, paths, sizes)).entry)
  return entries
}

/** The newest backup of a directory that can be gone on from, and those after it that cannot. */
export interface Newest {
  readonly manifest: Manifest | undefined
  /** The newest first. */
  readonly passedOver: readonly CatalogueEntry[]
}

/** The newest backup that is `wanted` and of which everything is there. Reads no older ones: there may be thousands. */
export async function newestOf(disk: Disk, wanted: (head: ManifestHead) => boolean = () => true): Promise<Newest> {
  const sizes: Sizes = new Map()
  const passedOver: CatalogueEntry[] = []
  for (const [name, paths] of [...(await namesIn(disk))].reverse()) {
    const { entry, manifest } = await read(disk, name, paths, sizes)
    if (manifest !== undefined && !wanted(manifest)) continue
    if (manifest !== undefined && entry.missing.length === 0) return { manifest, passedOver }
    passedOver.push(entry)
  }
  return { manifest: undefined, passedOver }
}

/** The name of the newest backup, whatever its state. */
export async function newestName(disk: Disk): Promise<string | undefined> {
  return [...(await namesIn(disk)).keys()].at(-1)
}

/** What is not there of what a backup needs, or not as long as it was. */
export async function missingOf(
  disk: Disk,
  { files }: Pick<Manifest, 'files'>,
  sizes: Sizes = new Map(),
): Promise<MissingSegment[]> {
  const missing: MissingSegment[] = []
  for (const { backup, segment, bytes } of files) {
    const path = segmentPath(backup, segment)
    const size = sizes.get(path) ?? (await sizeOf(disk, path))
    sizes.set(path, size)
    if (size === bytes) continue
    const isUnreadable = size instanceof DiskError && size.code !== 'not-found'
    const found = isUnreadable
      ? size.message
      : size instanceof DiskError
        ? 'no such file'
        : `${size} bytes for ${bytes}`
    missing.push({ path, found, isUnreadable })
  }
  return missing
}

/**
 * Removes a backup, or what is left of one; the files of others stay. Throws BackupRefused where another one needs it, or
 * where one cannot be read, so that nobody knows; and DiskErrors.
 */
export async function removeBackup(disk: Disk, name: string): Promise<CatalogueEntry> {
  const entries = await listBackups(disk)
  const entry = entries.find((each) => each.name === name)
  if (entry === undefined) throw new BackupRefused(`there is no backup ${name}`)
  for (const other of entries) if (other !== entry) checkNotNeeded(name, other)
  // Without a manifest it is none: whatever happens from here on leaves no half of a backup.
  const [named, retired] = [manifestPath(name), `${manifestPath(name)}.tmp`]
  if (entry.paths.includes(named)) {
    await disk.rename(named, retired)
    await syncDirectory(disk, '.')
    // Whoever makes one looks for this manifest when its own is there (`BackupWriter.finish`): one of the two sees the other.
    try {
      for (const [later, paths] of await namesIn(disk)) {
        if (later !== name && !entries.some((each) => each.head !== undefined && each.name === later)) {
          checkNotNeeded(name, (await read(disk, later, paths, new Map())).entry)
        }
      }
    } catch (error) {
      await disk.rename(retired, named)
      await syncDirectory(disk, '.')
      throw error
    }
  }
  for (const path of [...entry.paths, retired]) await removeIfThere(disk, path)
  await syncDirectory(disk, '.')
  return entry
}

function checkNotNeeded(name: string, other: CatalogueEntry): void {
  if (other.damage !== undefined) {
    throw new BackupRefused(`${other.name} may need it, and cannot be read: remove that one first, or mend it`)
  }
  if (other.head?.files.some(({ backup }) => backup === name) === true) {
    throw new BackupRefused(`${other.name} needs what is in ${name}: remove that one first, and those after it`)
  }
}

async function namesIn(disk: Disk): Promise<Names> {
  const owned = new Map<string, string[]>()
  for (const path of await listIfThere(disk)) {
    const file = fileOf(path)
    if (file === undefined) continue
    const paths = owned.get(file.name)
    if (paths === undefined) owned.set(file.name, [path])
    else paths.push(path)
  }
  return new Map([...owned].sort(([a], [b]) => (a < b ? -1 : 1)))
}

async function read(
  disk: Disk,
  name: string,
  paths: readonly string[],
  sizes: Sizes,
): Promise<{ entry: CatalogueEntry; manifest: Manifest | undefined }> {
  const { manifest, damage } = await manifestOrDamage(disk, name)
  if (manifest === undefined) {
    const entry = { name, head: undefined, totals: undefined, damage, missing: [], paths }
    return { entry, manifest }
  }
  const { slots: _, ...head } = manifest
  const missing = await missingOf(disk, manifest, sizes)
  return { entry: { name, head, totals: totalsOf(manifest), damage, missing, paths }, manifest }
}

/** What all slots of a backup come to. */
export function totalsOf({ name, slots, files }: Manifest): BackupTotals {
  let [records, bytes, ownBytes] = [0, 0, 0]
  for (const place of slots) {
    records += place.records
    bytes += place.bytes
    if (place.file !== undefined && files[place.file]!.backup === name) ownBytes += place.bytes
  }
  return { records, bytes, ownBytes }
}

async function listIfThere(disk: Disk): Promise<string[]> {
  try {
    return await disk.list('.')
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return []
    throw error
  }
}

/** One file that cannot be read must not hide all the others. */
async function manifestOrDamage(
  disk: Disk,
  name: string,
): Promise<{ manifest: Manifest | undefined; damage: BackupDamage | undefined }> {
  try {
    return { manifest: await readManifest(disk, name), damage: undefined }
  } catch (error) {
    if (error instanceof BackupDamage) return { manifest: undefined, damage: error }
    if (error instanceof DiskError)
      return { manifest: undefined, damage: new BackupUnreadable(manifestPath(name), error) }
    throw error
  }
}

async function sizeOf(disk: Disk, path: string): Promise<number | DiskError> {
  try {
    const file = await disk.open(path, 'read')
    try {
      return await file.size()
    } finally {
      await file.close()
    }
  } catch (error) {
    if (error instanceof DiskError) return error
    throw error
  }
}
