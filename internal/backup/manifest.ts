import { assert, type ClusterId, limits, parseClusterId } from '../base/index.js'
import { type Disk, DiskError, readFully, writeFully } from '../env/index.js'
import { slotCount } from '../slots/index.js'
import { type Digest, decodeDocument, documentHeaderBytes, encodeDocument } from '../store/index.js'
import { createDurably } from '../wal/index.js'
import { BackupDamage, BackupOfLaterRelease } from './damage.js'
import { isBackupName, manifestPath } from './names.js'
import { backupFormat, segmentHeaderBytes } from './segment-format.js'

/** A segment that a backup needs: one of its own, or of an earlier one. */
export interface SegmentFile {
  /** Of the backup that wrote it. */
  readonly backup: string
  /** The id of that one, 32 hex digits. */
  readonly id: string
  readonly segment: number
  readonly bytes: number
}

/** Where a slot is, and what is there. */
export interface SlotPlace {
  readonly slot: number
  /** A position in `files`; undefined: it has no records. */
  readonly file: number | undefined
  readonly offset: number
  /** Of its blocks, with their headers. */
  readonly bytes: number
  readonly blocks: number
  readonly records: number
  readonly digest: Digest
  /** What is absent, and was stamped up to this moment, had been deleted; 0: no such moment. */
  readonly floorMs: number
  /** The checksum of the header checksums of its blocks (`chainCrc`). */
  readonly chain: number
}

/** What a backup says of itself: everything but the records. */
export interface Manifest {
  readonly name: string
  /** 32 hex digits, drawn anew for each. */
  readonly id: string
  readonly clusterId: ClusterId
  readonly epoch: number
  readonly replication: {
    readonly replicationFactor: number
    readonly readQuorum: number
    readonly writeQuorum: number
  }
  /** Unix milliseconds. */
  readonly startedMs: number
  readonly endedMs: number
  /** Clocks of the cluster: the first and the last that were told, and the highest stamp of a record; 16 hex digits each. */
  readonly hlc: { readonly from: string; readonly to: string; readonly highest: string }
  /** The backup that this one goes on from; undefined: it is a full one. */
  readonly parent: string | undefined
  readonly files: readonly SegmentFile[]
  /** Rising. A slot that is missing had neither records nor a floor. */
  readonly slots: readonly SlotPlace[]
}

const noDigest: Digest = { hi: 0, lo: 0 }

/** By slot. */
export function placesOf({ slots }: Manifest): readonly (SlotPlace | undefined)[] {
  const places: (SlotPlace | undefined)[] = Array.from({ length: slotCount }, () => undefined)
  for (const place of slots) places[place.slot] = place
  return places
}

/** The digests of all slots, packed as a question for what has changed since wants them. */
export function packedDigests(manifest: Manifest): Uint8Array {
  const bytes = new Uint8Array(slotCount * 8)
  const view = new DataView(bytes.buffer)
  for (const { slot, digest } of manifest.slots) {
    view.setUint32(slot * 8, digest.hi)
    view.setUint32(slot * 8 + 4, digest.lo)
  }
  return bytes
}

export function hexOfDigest({ hi, lo }: Digest): string {
  return hi.toString(16).padStart(8, '0') + lo.toString(16).padStart(8, '0')
}

function encodeManifest(manifest: Manifest): Uint8Array {
  const { slots, files, ...head } = manifest
  // One slot to a line: people may have to read it, and objects would take three times the room.
  const lines = slots.map(({ slot, file, offset, bytes, blocks, records, digest, floorMs, chain }) =>
    JSON.stringify([slot, file ?? -1, offset, bytes, blocks, records, hexOfDigest(digest), floorMs, chain]),
  )
  const start = JSON.stringify({ format: backupFormat, ...head, files }).slice(0, -1)
  return new TextEncoder().encode(`${start},"slots":[\n${lines.join(',\n')}\n]}\n`)
}

/** Makes a backup one: whatever it needs must be durable already. Throws FatalError and DiskError. */
export async function writeManifest(disk: Disk, manifest: Manifest): Promise<void> {
  const payload = encodeManifest(manifest)
  assert(payload.length <= limits.documentBytesMax, `a manifest of ${payload.length} bytes`)
  const bytes = encodeDocument(payload)
  const path = manifestPath(manifest.name)
  await createDurably(disk, `${path}.tmp`, path, (fresh) => writeFully(fresh, bytes, 0))
}

/** Undefined: there is no such backup. Throws BackupDamage, which may be a BackupOfLaterRelease, and DiskErrors. */
export async function readManifest(disk: Disk, name: string): Promise<Manifest | undefined> {
  const path = manifestPath(name)
  const bytes = await readWhole(disk, path)
  if (bytes === undefined) return undefined
  const payload = decodeDocument(bytes)
  if (typeof payload === 'string') {
    // Of documents there has been one version so far: another one is a later one.
    const version = /^format version (\d+)$/.exec(payload)?.[1]
    if (version !== undefined) throw new BackupOfLaterRelease(path, Number(version))
    throw new BackupDamage(path, 0, 'a manifest', payload)
  }
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
  } catch (error) {
    throw new BackupDamage(path, documentHeaderBytes, 'JSON', (error as Error).message, error)
  }
  // Before anything else: what else there is in it nobody knows.
  const format = (parsed as Fields | null)?.['format']
  if (typeof format === 'number' && format > backupFormat) throw new BackupOfLaterRelease(path, format)
  const fault = new ManifestCheck(name)
  const manifest = fault.manifest(parsed)
  if (manifest !== undefined) return manifest
  throw new BackupDamage(path, documentHeaderBytes, 'the fields of a manifest', fault.found)
}

async function readWhole(disk: Disk, path: string): Promise<Uint8Array | undefined> {
  let file: Awaited<ReturnType<Disk['open']>>
  try {
    file = await disk.open(path, 'read')
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return undefined
    throw error
  }
  try {
    // One byte more than there may be, so that a file that is too long is seen.
    const most = documentHeaderBytes + limits.documentBytesMax + 1
    const bytes = new Uint8Array(Math.min(await file.size(), most))
    return bytes.subarray(0, await readFully(file, bytes, 0))
  } finally {
    await file.close()
  }
}

type Fields = Readonly<Record<string, unknown>>

/** Takes a manifest apart; the first thing that is wrong is in `found`. */
class ManifestCheck {
  readonly #name: string
  found = 'another one'

  constructor(name: string) {
    this.#name = name
  }

  manifest(parsed: unknown): Manifest | undefined {
    try {
      return this.#manifest(fieldsOf(parsed, 'manifest'))
    } catch (error) {
      if (!(error instanceof FieldError)) throw error
      this.found = error.message
      return undefined
    }
  }

  #manifest(from: Fields): Manifest {
    const format = whole(from, 'format')
    if (format !== backupFormat) throw new FieldError(`format ${format}`)
    const name = text(from, 'name', isBackupName)
    if (name !== this.#name) throw new FieldError(`the manifest of ${name}`)
    const replication = fieldsOf(from['replication'], 'replication')
    const hlc = fieldsOf(from['hlc'], 'hlc')
    const files = list(from['files'], 'files').map(segmentFile)
    const slots = list(from['slots'], 'slots').map((each) => slotPlace(each, files))
    for (const [i, { slot }] of slots.entries()) {
      if (i > 0 && slot <= slots[i - 1]!.slot) throw new FieldError(`slot ${slot} behind slot ${slots[i - 1]!.slot}`)
    }
    return {
      name,
      id: text(from, 'id', isHex32),
      clusterId: parseClusterId(text(from, 'clusterId', isHex32)),
      epoch: whole(from, 'epoch'),
      replication: {
        replicationFactor: whole(replication, 'replicationFactor'),
        readQuorum: whole(replication, 'readQuorum'),
        writeQuorum: whole(replication, 'writeQuorum'),
      },
      startedMs: whole(from, 'startedMs'),
      endedMs: whole(from, 'endedMs'),
      hlc: { from: text(hlc, 'from', isHex16), to: text(hlc, 'to', isHex16), highest: text(hlc, 'highest', isHex16) },
      parent: from['parent'] === undefined ? undefined : text(from, 'parent', isBackupName),
      files,
      slots,
    }
  }
}

class FieldError extends Error {}

function isHex32(found: string): boolean {
  return /^[0-9a-f]{32}$/.test(found)
}

function isHex16(found: string): boolean {
  return /^[0-9a-f]{16}$/.test(found)
}

function fieldsOf(found: unknown, what: string): Fields {
  if (typeof found !== 'object' || found === null || Array.isArray(found)) throw new FieldError(`no ${what}`)
  return found as Fields
}

function list(found: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(found)) throw new FieldError(`no list of ${what}`)
  return found
}

function wholeNumber(found: unknown, what: string): number {
  if (typeof found === 'number' && Number.isSafeInteger(found) && found >= 0) return found
  throw new FieldError(`${what} ${JSON.stringify(found)}`)
}

function whole(from: Fields, field: string): number {
  return wholeNumber(from[field], field)
}

function text(from: Fields, field: string, isValid: (found: string) => boolean): string {
  const found = from[field]
  if (typeof found === 'string' && isValid(found)) return found
  throw new FieldError(`${field} ${JSON.stringify(found)}`)
}

function segmentFile(found: unknown): SegmentFile {
  const from = fieldsOf(found, 'file')
  const [segment, bytes] = [whole(from, 'segment'), whole(from, 'bytes')]
  if (segment === 0 || bytes < segmentHeaderBytes) throw new FieldError(`segment ${segment} of ${bytes} bytes`)
  return { backup: text(from, 'backup', isBackupName), id: text(from, 'id', isHex32), segment, bytes }
}

function slotPlace(found: unknown, files: readonly SegmentFile[]): SlotPlace {
  const [slot, file, offset, bytes, blocks, records, digest, floorMs, chain] = list(found, 'slot')
  const hasNone = file === -1
  if (typeof digest !== 'string' || !isHex16(digest)) throw new FieldError(`digest ${JSON.stringify(digest)}`)
  const place = {
    slot: wholeNumber(slot, 'slot'),
    file: hasNone ? undefined : wholeNumber(file, 'file'),
    offset: wholeNumber(offset, 'offset'),
    bytes: wholeNumber(bytes, 'bytes'),
    blocks: wholeNumber(blocks, 'blocks'),
    records: wholeNumber(records, 'records'),
    digest: { hi: Number.parseInt(digest.slice(0, 8), 16), lo: Number.parseInt(digest.slice(8), 16) },
    floorMs: wholeNumber(floorMs, 'floor'),
    chain: wholeNumber(chain, 'chain'),
  }
  if (place.slot >= slotCount) throw new FieldError(`slot ${place.slot}`)
  if (hasNone) {
    if (place.records + place.bytes + place.blocks > 0) throw new FieldError(`slot ${place.slot} without a file`)
    return { ...place, digest: noDigest }
  }
  const there = files[place.file!]
  const fits = there !== undefined && place.offset >= segmentHeaderBytes && place.offset + place.bytes <= there.bytes
  if (!fits || place.records === 0) throw new FieldError(`slot ${place.slot} at byte ${place.offset} of file ${file}`)
  return place
}
