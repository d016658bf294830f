import { assert, type ClusterId, compareBytes, emptyBytes, limits } from '../base/index.js'
import { type Disk, type DiskFile, writeFully } from '../env/index.js'
import { crc32, type Hash64, hash64 } from '../hash/index.js'
import { compareHlc, type Hlc, hlcToBigint } from '../hlc/index.js'
import { decodeRecord, recordLengthAt } from '../record/index.js'
import { slotCount, slotOf } from '../slots/index.js'
import { blockHeaderBytes, chainCrc, type Digest, encodeBlockHeader } from '../store/index.js'
import { removeIfThere, syncDirectory, syncFile } from '../wal/index.js'
import { missingOf } from './catalogue.js'
import { BackupRefused } from './damage.js'
import { type Manifest, placesOf, type SegmentFile, type SlotPlace, writeManifest } from './manifest.js'
import { manifestPath, segmentPath } from './names.js'
import { encodeBackupHeader, segmentHeaderBytes } from './segment-format.js'

/** What a backup is of. */
export interface BackupOrigin {
  readonly name: string
  /** 32 hex digits. */
  readonly id: string
  readonly clusterId: ClusterId
  readonly epoch: number
  readonly replication: Manifest['replication']
  readonly startedMs: number
}

/** A segment that is being written. */
interface OpenSegment {
  readonly file: DiskFile
  readonly number: number
  position: number
  blocks: number
}

/** The slot that comes in now. */
interface OpenSlot {
  readonly slot: number
  readonly position: number
  /** Blocks of the segment before it. */
  readonly before: number
  readonly digest: { hi: number; lo: number }
  floorMs: number
  blocks: number
  records: number
  chain: number
  /** Behind this key the next one must be. */
  lastKey: Uint8Array
}

/**
 * Writes one backup: slots in their order, of which those that are as in the parent only refer to it. Nothing counts
 * before the manifest is there, which is written last; what is left of one that was cut off is no backup. Holds one
 * block in memory. Calls must not overlap.
 */
export class BackupWriter {
  readonly #disk: Disk
  readonly #origin: BackupOrigin
  readonly #parent: Manifest | undefined
  readonly #known: readonly (SlotPlace | undefined)[]
  readonly #files: SegmentFile[] = []
  readonly #places: SlotPlace[] = []
  /** Positions in `#files` of the parent's. */
  readonly #referred = new Map<SegmentFile, number>()
  readonly #hash: Hash64 = { hi: 0, lo: 0 }
  readonly #segmentBytes: number
  #segment: OpenSegment | undefined
  #segments = 0
  /** The manifest may be there. */
  #isNamed = false
  #slot: OpenSlot | undefined
  #block = new Uint8Array(limits.snapshotBufferBytesMin)
  #blockBytes = 0
  #blockRecords = 0
  #highest: Hlc = { hi: 0, lo: 0 }
  /** Records and bytes that were written, not referred to. */
  #written = { records: 0, bytes: 0 }

  /** `parent` must be a backup of the same cluster in the same directory, which must be there. */
  constructor(
    disk: Disk,
    origin: BackupOrigin,
    parent: Manifest | undefined,
    segmentBytes: number = limits.backupSegmentBytes,
  ) {
    assert(
      parent === undefined || parent.clusterId === origin.clusterId,
      'a backup goes on from one of another cluster',
    )
    this.#disk = disk
    this.#origin = origin
    this.#parent = parent
    this.#known = parent === undefined ? [] : placesOf(parent)
    this.#segmentBytes = segmentBytes
  }

  get written(): { readonly records: number; readonly bytes: number } {
    return this.#written
  }

  /** The slot is as the parent has it. */
  async refer(slot: number): Promise<void> {
    await this.#closeSlot(slot)
    this.#referTo(this.#known[slot], this.#known[slot]?.floorMs ?? 0)
  }

  /**
   * Takes some records of a slot, encoded, behind those that came before; slots and keys must rise. Throws
   * RecordFormatError where they are none, an AssertionError where they are out of place, and DiskErrors.
   */
  async add(slot: number, records: Uint8Array, floorMs: number): Promise<void> {
    if (this.#slot?.slot !== slot) await this.#openSlot(slot, floorMs)
    const open = this.#slot!
    for (let at = 0; at < records.length; ) {
      const end = at + recordLengthAt(records, at)
      const { key, hi, lo, node } = decodeRecord(records, at)
      assert(slotOf(key) === slot && compareBytes(key, open.lastKey) > 0, `a record out of place in slot ${slot}`)
      hash64(key, hi, lo, node, this.#hash)
      open.digest.hi = (open.digest.hi ^ this.#hash.hi) >>> 0
      open.digest.lo = (open.digest.lo ^ this.#hash.lo) >>> 0
      open.lastKey = key.slice()
      if (compareHlc({ hi, lo }, this.#highest) > 0) this.#highest = { hi, lo }
      if (this.#blockBytes + end - at > limits.snapshotBlockBytes) await this.#writeBlock()
      this.#append(records.subarray(at, end))
      at = end
    }
  }

  /**
   * Makes everything durable, and then the manifest. `hlc`: clocks of the cluster. Throws FatalError, DiskErrors, and BackupRefused
   * where what it needs has gone meanwhile; what is there then is to be abandoned.
   */
  async finish(endedMs: number, hlc: { from: bigint; to: bigint }): Promise<Manifest> {
    await this.#closeSlot(slotCount)
    await this.#closeSegment()
    await syncDirectory(this.#disk, '.')
    const highest = hex16(hlcToBigint(this.#highest))
    const earlier = this.#parent?.hlc.highest ?? ''
    const manifest: Manifest = {
      ...this.#origin,
      endedMs,
      hlc: { from: hex16(hlc.from), to: hex16(hlc.to), highest: highest > earlier ? highest : earlier },
      parent: this.#parent?.name,
      files: this.#files,
      slots: this.#places,
    }
    this.#isNamed = true
    await writeManifest(this.#disk, manifest)
    await this.#checkThere(manifest)
    return manifest
  }

  /** Takes away what has been written. */
  async abandon(): Promise<void> {
    const { file } = this.#segment ?? {}
    this.#segment = undefined
    try {
      await file?.close()
    } finally {
      await this.#remove()
    }
  }

  async #remove(): Promise<void> {
    const { name } = this.#origin
    if (this.#isNamed) {
      // First of all it must not be a backup any more.
      for (const path of [manifestPath(name), `${manifestPath(name)}.tmp`]) await removeIfThere(this.#disk, path)
      await syncDirectory(this.#disk, '.')
    }
    for (let i = 1; i <= this.#segments; i++) await removeIfThere(this.#disk, segmentPath(name, i))
    await syncDirectory(this.#disk, '.')
  }

  /**
   * Somebody may have removed what this backup needs while it was made. Its manifest is there now, and keeps everybody else from
   * removing more; who was faster has taken the parent's manifest away before (`removeBackup`).
   */
  async #checkThere(manifest: Manifest): Promise<void> {
    const gone = (await missingOf(this.#disk, manifest)).map(({ path, found }) => `${path} (${found})`)
    if (manifest.parent !== undefined) {
      const parent = manifestPath(manifest.parent)
      if (!(await this.#disk.list('.')).includes(parent)) gone.push(`${parent} (no such file)`)
    }
    if (gone.length === 0) return
    throw new BackupRefused(`what ${manifest.name} needs cannot be had any more: ${gone.join(', ')}`)
  }

  async #openSlot(slot: number, floorMs: number): Promise<void> {
    await this.#closeSlot(slot)
    this.#segment ??= await this.#openSegment()
    this.#slot = {
      ...{ slot, position: this.#segment.position, before: this.#segment.blocks, digest: { hi: 0, lo: 0 } },
      // As it was before the first record was read: of what was read earlier a later one says nothing.
      floorMs,
      ...{ blocks: 0, records: 0, chain: 0, lastKey: emptyBytes },
    }
  }

  /** Ends the slot that came in, if any. */
  async #closeSlot(next: number): Promise<void> {
    const open = this.#slot
    assert(next > (open?.slot ?? this.#places.at(-1)?.slot ?? -1), 'slots out of order')
    if (open === undefined) return
    await this.#writeBlock()
    this.#slot = undefined
    const { slot, position, before, digest, floorMs, blocks, records, chain } = open
    const segment = this.#segment!
    const known = this.#known[slot]
    const same = this.#parent !== undefined && isEqual(digest, known?.digest ?? { hi: 0, lo: 0 })
    if (same || records === 0) {
      // A slot that came in pieces may turn out to be the same in the end: its room is used again.
      segment.position = position
      segment.blocks = before
      this.#referTo(same ? known : undefined, floorMs, slot)
      return
    }
    const bytes = segment.position - position
    this.#written = { records: this.#written.records + records, bytes: this.#written.bytes + bytes }
    this.#places.push({
      slot,
      file: this.#ownFile(segment),
      offset: position,
      bytes,
      blocks,
      records,
      digest,
      floorMs,
      chain,
    })
    if (segment.position >= this.#segmentBytes) await this.#closeSegment()
  }

  #referTo(known: SlotPlace | undefined, floorMs: number, slot: number = known?.slot ?? 0): void {
    if (known?.file !== undefined) {
      const file = this.#parent!.files[known.file]!
      this.#places.push({ ...known, file: this.#positionOf(file) })
    } else if (floorMs > 0) {
      const nothing = { offset: 0, bytes: 0, blocks: 0, records: 0, digest: { hi: 0, lo: 0 }, chain: 0 }
      this.#places.push({ slot, file: undefined, ...nothing, floorMs })
    }
  }

  #positionOf(file: SegmentFile): number {
    let position = this.#referred.get(file)
    if (position === undefined) {
      position = this.#files.push(file) - 1
      this.#referred.set(file, position)
    }
    return position
  }

  /** The position of the open segment in `#files`: entered with the first slot, its length when it is closed. */
  #ownFile({ number }: OpenSegment): number {
    const { name: backup, id } = this.#origin
    const at = this.#files.findIndex((file) => file.backup === backup && file.segment === number)
    return at >= 0 ? at : this.#files.push({ backup, id, segment: number, bytes: 0 }) - 1
  }

  #append(record: Uint8Array): void {
    const needed = blockHeaderBytes + this.#blockBytes + record.length
    if (needed > this.#block.length) {
      const bigger = new Uint8Array(Math.max(needed, this.#block.length * 2))
      bigger.set(this.#block)
      this.#block = bigger
    }
    this.#block.set(record, blockHeaderBytes + this.#blockBytes)
    this.#blockBytes += record.length
    this.#blockRecords++
  }

  async #writeBlock(): Promise<void> {
    if (this.#blockRecords === 0) return
    const [segment, open] = [this.#segment!, this.#slot!]
    const end = blockHeaderBytes + this.#blockBytes
    const header = {
      payloadBytes: this.#blockBytes,
      number: segment.blocks,
      slot: open.slot,
      records: this.#blockRecords,
      payloadCrc: crc32(this.#block, blockHeaderBytes, end),
    }
    open.chain = chainCrc(open.chain, encodeBlockHeader(header, this.#block, 0))
    await writeFully(segment.file, this.#block.subarray(0, end), segment.position)
    segment.position += end
    segment.blocks++
    open.blocks++
    open.records += this.#blockRecords
    this.#blockBytes = 0
    this.#blockRecords = 0
  }

  async #openSegment(): Promise<OpenSegment> {
    const { name, id, clusterId } = this.#origin
    const number = this.#segments + 1
    const file = await this.#disk.open(segmentPath(name, number), 'create')
    this.#segments = number
    const segment = { file, number, position: segmentHeaderBytes, blocks: 0 }
    this.#segment = segment
    await writeFully(file, encodeBackupHeader({ clusterId, id, segment: number }), 0)
    return segment
  }

  async #closeSegment(): Promise<void> {
    const segment = this.#segment
    if (segment === undefined) return
    const { file, number, position } = segment
    const path = segmentPath(this.#origin.name, number)
    await file.truncate(position)
    await syncFile(file)
    this.#segment = undefined
    await file.close()
    if (segment.blocks === 0) {
      await removeIfThere(this.#disk, path)
      this.#segments--
      return
    }
    const at = this.#ownFile(segment)
    this.#files[at] = { ...this.#files[at]!, bytes: position }
  }
}

function isEqual(a: Digest, b: Digest): boolean {
  return a.hi === b.hi && a.lo === b.lo
}

function hex16(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}
