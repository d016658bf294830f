import {
  BackupDamage,
  listBackups,
  packedDigests,
  placesOf,
  readManifest,
  verifyBackup,
} from '@quorumkv/internal/backup'
import { FatalError } from '@quorumkv/internal/base'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import { crc32 } from '@quorumkv/internal/hash'
import { decodeDocument, encodeDocument } from '@quorumkv/internal/store'
import {
  contentsOf as backupContents,
  bySlot,
  make,
  newDrive,
  put,
  readFile,
  tombstone,
} from '../../../internal/backup/backup.test-support.js'
import { contentsOf } from '../../../internal/store/model.conformance.js'
import {
  blockHeaderBytes,
  chainCrc,
  snapshotFooterBytes,
  snapshotHeaderBytes,
} from '../../../internal/store/snapshot/snapshot-format.js'
import { frameHeaderBytes } from '../../../internal/wal/frame.js'
import { segmentHeaderBytes } from '../../../internal/wal/segment-header.js'
import { cut, filledBytes, overwrite, type Specimen } from '../../crash/specimen.js'
import { concat, mutate } from '../mutate.js'
import { Fault, type OpenTarget, type Target, type Verdict } from '../target.js'
import { historyOfLog, historyOfSnapshots } from './files.js'

/*
 * Files whose checksums fit, and whose contents nobody could have written: what a reader meets who was sent a file that somebody
 * has made, or that a faulty node has. It may refuse it or take it; whatever it does, it does by what it promises.
 */

/** A file in parts: a header, and then some that have a header of their own each, of which a number tells the length of the payload. */
interface Layout {
  readonly headerBytes: number
  readonly headerCrcAt: number
  readonly partBytes: number
  /** In a part's header. */
  readonly lengthAt: number
  readonly payloadCrcAt: number
  readonly crcAt: number
}

const logLayout: Layout = {
  ...{ headerBytes: segmentHeaderBytes, headerCrcAt: 508 },
  ...{ partBytes: frameHeaderBytes, lengthAt: 4, payloadCrcAt: 32, crcAt: 36 },
}
/** Of snapshots and segments of backups. */
const blockLayout: Layout = {
  ...{ headerBytes: snapshotHeaderBytes, headerCrcAt: 60 },
  ...{ partBytes: blockHeaderBytes, lengthAt: 4, payloadCrcAt: 20, crcAt: 28 },
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** The parts of a sound file, and what is behind them. */
function partsOf(bytes: Uint8Array, { headerBytes, partBytes, lengthAt }: Layout, end: number): Uint8Array[] {
  const parts = [bytes.slice(0, headerBytes)]
  let at = headerBytes
  while (at + partBytes <= end) {
    const next = at + partBytes + viewOf(bytes).getUint32(at + lengthAt, true)
    parts.push(bytes.slice(at, next))
    at = next
  }
  parts.push(bytes.slice(at))
  return parts
}

function sealPart(
  part: Uint8Array,
  { partBytes, lengthAt, payloadCrcAt, crcAt }: Layout,
  isHonest: boolean,
): Uint8Array {
  if (part.length < partBytes) return part
  const view = viewOf(part)
  if (isHonest) view.setUint32(lengthAt, part.length - partBytes, true)
  view.setUint32(payloadCrcAt, crc32(part, partBytes), true)
  view.setUint32(crcAt, crc32(part, 0, crcAt), true)
  return part
}

/** Changes one part of a file, sometimes several or their order, and makes all checksums fit again. */
function forge(random: SimRandom, file: readonly Uint8Array[], layout: Layout): Uint8Array {
  const [header, ...parts]: Uint8Array[] = file.map((part) => part.slice())
  const rest = parts.pop()!
  for (let times = 1 + random.below(2); times > 0 && parts.length > 0; times--) {
    const at = random.below(parts.length)
    const part = parts[at]!
    const payloads = parts.map((each) => each.subarray(layout.partBytes))
    const other = random.below(parts.length)
    switch (random.below(8)) {
      case 0:
        parts[at] = sealPart(
          concat(mutate(random, [part.subarray(0, layout.partBytes)]).slice(0, layout.partBytes), payloads[at]!),
          layout,
          false,
        )
        break
      case 1:
        ;[parts[at], parts[other]] = [parts[other]!, part]
        break
      case 2:
        parts.splice(other, 0, part.slice())
        break
      case 3:
        parts.splice(at, 1)
        break
      default: {
        const head = part.slice(0, layout.partBytes)
        parts[at] = sealPart(
          concat(head, mutate(random, [payloads[at]!, payloads[at]!, payloads[other]!])),
          layout,
          true,
        )
      }
    }
  }
  const first = random.chance(0.15) ? mutate(random, [header!]).slice(0, layout.headerBytes) : header!
  if (first.length === layout.headerBytes)
    viewOf(first).setUint32(layout.headerCrcAt, crc32(first, 0, layout.headerCrcAt), true)
  return concat(first, ...parts, rest)
}

/** A snapshot ends with a chain of the checksums of its blocks, and with how many there are. */
function withFooter(random: SimRandom, bytes: Uint8Array): Uint8Array {
  const footerAt = bytes.length - snapshotFooterBytes
  if (footerAt < snapshotHeaderBytes) return bytes
  const view = viewOf(bytes)
  let chain = 0
  let blocks = 0
  let records = 0
  for (let at = snapshotHeaderBytes; at + blockHeaderBytes <= footerAt; blocks++) {
    chain = chainCrc(chain, view.getUint32(at + 28, true))
    records += view.getUint32(at + 16, true)
    at += blockHeaderBytes + view.getUint32(at + 4, true)
  }
  view.setUint32(footerAt + 12, chain, true)
  if (random.chance(0.9)) {
    view.setUint32(footerAt + 8, blocks, true)
    view.setUint32(footerAt + 16, records >>> 0, true)
    view.setUint32(footerAt + 24, bytes.length, true)
  } else bytes[footerAt + 8 + random.below(52)] = random.below(256)
  view.setUint32(footerAt + 60, crc32(bytes, footerAt, footerAt + 60), true)
  return bytes
}

/**
 * Inputs say with their first byte which file they are. `instead` is a file that would be read in place of another one, and loses its
 * end.
 */
function forgedFile(
  specimen: Specimen,
  paths: readonly string[],
  instead: (path: string) => string | undefined,
  forged: (random: SimRandom, bytes: Uint8Array) => Uint8Array,
): OpenTarget {
  const files = paths.map((path) => specimen.bytes(path))
  return {
    make: (random) => {
      const index = random.below(files.length)
      return concat(Uint8Array.of(index), forged(random, files[index]!.subarray(0, filledBytes(files[index]!))))
    },
    run: async (input) => {
      const index = (input[0] ?? 0) % paths.length
      const bytes = new Uint8Array(Math.max(files[index]!.length, input.length - 1))
      bytes.set(input.subarray(1))
      const other = instead(paths[index]!)
      const { victim, error } = await specimen.start(async (each) => {
        await overwrite(each, paths[index]!, input.length > 1 ? bytes : new Uint8Array(1))
        if (other !== undefined) await cut(each, other, specimen.bytes(other).length >>> 1)
      })
      // `refused`: the number of a later format is in it.
      if (error instanceof FatalError && (error.reason === 'corrupt' || error.reason === 'refused')) return 'refused'
      if (error !== undefined) throw error
      contentsOf(victim.store)
      return 'taken'
    },
  }
}

export const forgedLog: Target = {
  name: 'forged-log',
  share: 6,
  async open() {
    const specimen = await historyOfLog()
    return forgedFile(
      specimen,
      specimen.segments,
      () => undefined,
      (random, bytes) => forge(random, partsOf(bytes, logLayout, bytes.length), logLayout),
    )
  },
}

export const forgedSnapshot: Target = {
  name: 'forged-snapshot',
  share: 4,
  async open() {
    const specimen = await historyOfSnapshots()
    const newest = specimen.snapshots.at(-1)
    return forgedFile(
      specimen,
      specimen.snapshots,
      (path) => (path === newest ? undefined : newest),
      (random, bytes) =>
        withFooter(random, forge(random, partsOf(bytes, blockLayout, bytes.length - snapshotFooterBytes), blockLayout)),
    )
  },
}

const shown = (records: Awaited<ReturnType<typeof backupContents>>): string =>
  records
    .map(({ key, value, hi, lo, node, expiresAtMs, tombstone: deleted }) =>
      [key, value]
        .map((bytes) => Buffer.from(bytes).toString('hex'))
        .concat(`${hi}/${lo}/${node}/${expiresAtMs}/${deleted}`)
        .join(' '),
    )
    .join('\n')

/** A directory of two backups, of which one file is another. What is read is what was written, or a word of damage, unless a manifest was forged. */
export const backupFile: Target = {
  name: 'backup',
  share: 10,
  async open() {
    const drive = newDrive()
    const disk = drive.mount()
    const records = Array.from({ length: 14 }, (_, i) =>
      i % 5 === 0
        ? tombstone(`key ${i}`, 5 + i)
        : put(`key ${i}`, `value ${i}`.repeat(1 + i), 5 + i, i % 3 === 0 ? 2 ** 41 : 0),
    )
    const first = await make(disk, 1, records, { segmentBytes: 600 })
    const changed = [...records.slice(2), put('key 3', 'anew', 3_000), put('new', 'one', 3_001)]
    const latest = new Map(changed.map((record) => [Buffer.from(record.key).toString(), record]))
    const second = await make(disk, 2, latest.values(), {
      parent: first.manifest,
      segmentBytes: 600,
      floors: new Map([[9, 77]]),
    })
    const names = [first.manifest.name, second.manifest.name]
    const honest = new Map<string, string>()
    for (const { manifest } of [first, second]) honest.set(manifest.name, shown(await backupContents(disk, manifest)))
    if (bySlot(records).size < 5) throw new Error('too few slots')
    const paths = (await disk.list('.')).filter((path) => names.some((name) => path.startsWith(name)))
    const files = new Map<string, Uint8Array>()
    for (const path of paths) files.set(path, await readFile(disk, path))
    const overwritten = async (path: string, bytes: Uint8Array): Promise<void> => {
      const file = await disk.open(path, 'write')
      await file.truncate(0)
      if (bytes.length > 0) await file.write(bytes, 0)
      await file.close()
    }
    const isManifest = (path: string): boolean => path.endsWith('.manifest')
    return {
      make: (random) => {
        const index = random.below(paths.length)
        const path = paths[index]!
        const file = files.get(path)!
        if (random.chance(0.3)) return concat(Uint8Array.of(index), mutate(random, [file]))
        const forged = isManifest(path)
          ? encodeDocument(mutate(random, [decodeDocument(file) as Uint8Array]))
          : forge(random, partsOf(file, blockLayout, file.length), blockLayout)
        return concat(Uint8Array.of(index), forged)
      },
      run: async (input) => {
        const path = paths[(input[0] ?? 0) % paths.length]!
        await overwritten(path, input.subarray(1))
        try {
          return await readBackups(disk, names, (name, found) => {
            if (!isManifest(path) && found !== honest.get(name))
              throw new Fault(`${name} gives back what was not written`)
          })
        } finally {
          await overwritten(path, files.get(path)!)
        }
      },
    }
  },
}

async function readBackups(
  disk: Parameters<typeof readManifest>[0],
  names: readonly string[],
  read: (name: string, found: string) => void,
): Promise<Verdict> {
  let verdict: Verdict = 'taken'
  await listBackups(disk)
  for (const name of names) {
    try {
      const manifest = await readManifest(disk, name)
      if (manifest === undefined) throw new Fault('a manifest is not there any more')
      packedDigests(manifest)
      placesOf(manifest)
      const { damages } = await verifyBackup(disk, manifest)
      const found = shown(await backupContents(disk, manifest))
      if (damages.length === 0) read(name, found)
    } catch (error) {
      if (!(error instanceof BackupDamage)) throw error
      verdict = 'refused'
    }
  }
  return verdict
}
