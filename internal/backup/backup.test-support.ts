import { parseClusterId, type Slot } from '../base/index.js'
import { type Disk, type DiskFile, type OpenMode, readFully, writeFully } from '../env/index.js'
import { MemoryDrive } from '../env-sim/index.js'
import { hlcOf } from '../hlc/index.js'
import { encodeRecords, type StoredRecord } from '../record/index.js'
import { slotCount, slotOf } from '../slots/index.js'
import { type BackupOrigin, BackupReader, BackupWriter, type Manifest } from './index.js'

export const clusterId = parseClusterId('00112233445566778899aabbccddeeff')

export function newDrive(): MemoryDrive {
  return new MemoryDrive({ defer: (fire) => void setImmediate(fire) })
}

/** The `number`th backup of a test. */
export function originOf(number: number): BackupOrigin {
  const digits = String(number).padStart(4, '0')
  return {
    name: `20260102T03${digits}Z-${digits}`,
    id: digits.padStart(32, 'a'),
    clusterId,
    epoch: 7,
    replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
    startedMs: 1_700_000_000_000 + number,
  }
}

export function put(key: string, value: string, ms: number, expiresAtMs = 0): StoredRecord {
  const bytes = Buffer.from(value)
  return { ...hlcOf(ms, 0), node: 1, key: Buffer.from(key), tombstone: false, expiresAtMs, value: bytes }
}

export function tombstone(key: string, ms: number): StoredRecord {
  return { ...put(key, '', ms), tombstone: true }
}

/** By slot, in the byte order of keys. */
export function bySlot(records: Iterable<StoredRecord>): Map<number, StoredRecord[]> {
  const slots = new Map<number, StoredRecord[]>()
  const sorted = [...records].sort((a, b) => Buffer.compare(a.key, b.key))
  for (const record of sorted) {
    const slot: Slot = slotOf(record.key)
    slots.set(slot, [...(slots.get(slot) ?? []), record])
  }
  return new Map([...slots].sort(([a], [b]) => a - b))
}

export interface Made {
  readonly parent?: Manifest | undefined
  readonly segmentBytes?: number
  /** Records of a slot that come at a time. */
  readonly piece?: number
  readonly floors?: ReadonlyMap<number, number>
}

/** Makes a backup of these records, as a cluster that knows of no digests would hand them out. */
export async function make(
  disk: Disk,
  number: number,
  records: Iterable<StoredRecord>,
  { parent, segmentBytes, piece = 3, floors = new Map() }: Made = {},
): Promise<{ manifest: Manifest; writer: BackupWriter }> {
  await disk.makeDirectory('.')
  const writer = new BackupWriter(disk, originOf(number), parent, segmentBytes)
  const slots = bySlot(records)
  for (let slot = 0; slot < slotCount; slot++) {
    const all = slots.get(slot) ?? []
    const floorMs = floors.get(slot) ?? 0
    if (all.length === 0 && floorMs === 0 && parent === undefined) continue
    for (let at = 0; at === 0 || at < all.length; at += piece) {
      await writer.add(slot, encodeRecords(all.slice(at, at + piece)), floorMs)
    }
  }
  const manifest = await writer.finish(1_700_000_001_000 + number, { from: 5n, to: 2n ** 60n })
  return { manifest, writer }
}

/** Everything that a backup gives back. */
export async function contentsOf(disk: Disk, manifest: Manifest): Promise<StoredRecord[]> {
  const found: StoredRecord[] = []
  const reader = new BackupReader(disk, manifest)
  try {
    for (const place of manifest.slots) {
      await reader.read(place, (records) => {
        for (const record of records)
          found.push({ ...record, key: Buffer.from(record.key), value: Buffer.from(record.value) })
      })
    }
  } finally {
    await reader.close()
  }
  return found
}

export async function readFile(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path, 'read')
  const bytes = new Uint8Array(await file.size())
  await readFully(file, bytes, 0)
  await file.close()
  return bytes
}

export async function writeByte(disk: Disk, path: string, offset: number, byte: number): Promise<void> {
  const file = await disk.open(path, 'write')
  await writeFully(file, Uint8Array.of(byte), offset)
  await file.close()
}

/** A disk that stops for good, as when the process is killed, before the `after`th change. */
export function cutAfter(disk: Disk, after: number, cut: () => void): Disk & { changes(): number } {
  let changes = 0
  const change = <T>(make: () => Promise<T>): Promise<T> => {
    if (changes === after) {
      cut()
      return new Promise(() => undefined)
    }
    changes++
    return make()
  }
  const wrap = (file: DiskFile): DiskFile => ({
    path: file.path,
    size: () => file.size(),
    read: (into, position) => file.read(into, position),
    write: (from, position) => change(() => file.write(from, position)),
    sync: () => change(() => file.sync()),
    truncate: (size) => change(() => file.truncate(size)),
    preallocate: (size) => change(() => file.preallocate(size)),
    close: () => file.close(),
  })
  return {
    changes: () => changes,
    open: async (path: string, mode: OpenMode) =>
      wrap(await (mode === 'create' ? change(() => disk.open(path, mode)) : disk.open(path, mode))),
    rename: (from, to) => change(() => disk.rename(from, to)),
    remove: (path) => change(() => disk.remove(path)),
    list: (directory) => disk.list(directory),
    makeDirectory: (path) => disk.makeDirectory(path),
    syncDirectory: (path) => change(() => disk.syncDirectory(path)),
    freeBytes: () => disk.freeBytes(),
  }
}

/** What a disk is asked to do. */
export type DiskOperation = 'open' | 'read' | 'rename' | 'remove' | 'list' | 'syncDirectory'

/** A disk that asks `before` first, which may throw, or do something else to the disk. */
export function hooked(disk: Disk, before: (operation: DiskOperation, path: string) => void | Promise<void>): Disk {
  const after = async <T>(operation: DiskOperation, path: string, work: () => Promise<T>): Promise<T> => {
    await before(operation, path)
    return await work()
  }
  const wrap = (file: DiskFile): DiskFile => ({
    path: file.path,
    size: () => file.size(),
    read: (into, position) => after('read', file.path, () => file.read(into, position)),
    write: (from, position) => file.write(from, position),
    sync: () => file.sync(),
    truncate: (size) => file.truncate(size),
    preallocate: (size) => file.preallocate(size),
    close: () => file.close(),
  })
  return {
    open: async (path, mode) => wrap(await after('open', path, () => disk.open(path, mode))),
    rename: (from, to) => after('rename', from, () => disk.rename(from, to)),
    remove: (path) => after('remove', path, () => disk.remove(path)),
    list: (directory) => after('list', directory, () => disk.list(directory)),
    makeDirectory: (path) => disk.makeDirectory(path),
    syncDirectory: (path) => after('syncDirectory', path, () => disk.syncDirectory(path)),
    freeBytes: () => disk.freeBytes(),
  }
}
