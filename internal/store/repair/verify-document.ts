import { type ClusterId, limits, parseClusterId, parseIncarnation, parseNodeId, type Slot } from '../../base/index.js'
import { type Disk, readFully } from '../../env/index.js'
import { crc32 } from '../../hash/index.js'
import { formatVersion, newerFormat, refuseNewerFormat } from '../../wal/index.js'
import { documentLayout } from '../durable-file.js'
import type { Identity } from '../identity.js'
import { lostSlotsName, parseLostSlots } from '../lost-slots.js'
import { isSequence, type Manifest } from '../manifest.js'

/*
 * FORMAT.md, "Document". Do not change: it is on disks.
 */
const headerBytes = 24
const magic = Uint8Array.of(0x51, 0x4b, 0x56, 0x44, 0x4f, 0x43, 0x0d, 0x0a)

/** Trying every byte takes time with the square of the length: a second for this. */
const mendedBytesMax = 2_048

/** What is found where a document does not start like one. */
export const foreignFile = 'another kind of file'

/** What is wrong with a document, and where. */
export interface DocumentProblem {
  readonly offset: number
  readonly expected: string
  readonly found: string
}

export type InspectedDocument =
  | { readonly sound: true; readonly payload: Uint8Array }
  | { readonly sound: false; readonly problem: DocumentProblem }

/**
 * A whole file that holds a document; one byte more than there may be where it is too long. Throws FatalError `refused` where
 * a later release has written it, and DiskErrors.
 */
export async function readDocumentFile(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path, 'read')
  try {
    const bytes = new Uint8Array(Math.min(await file.size(), headerBytes + limits.documentBytesMax + 1))
    const found = bytes.subarray(0, await readFully(file, bytes, 0))
    refuseNewerFormat(path, found, documentLayout)
    return found
  } finally {
    await file.close()
  }
}

/** The payload of a document, or where it is damaged. */
export function inspectDocument(bytes: Uint8Array): InspectedDocument {
  const bad = (offset: number, expected: string, found: string): InspectedDocument => {
    return { sound: false, problem: { offset, expected, found } }
  }
  if (bytes.length < headerBytes) return bad(0, 'a document', `a file of ${bytes.length} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let i = 0; i < magic.length; i++) if (bytes[i] !== magic[i]) return bad(i, 'a document', foreignFile)
  if (view.getUint32(20, true) !== crc32(bytes, 0, 20)) return bad(20, 'the checksum of the header', 'another')
  const version = view.getUint32(8, true)
  if (version !== formatVersion) return bad(8, `format version ${formatVersion}`, `${version}`)
  const length = view.getUint32(12, true)
  const present = bytes.length - headerBytes
  if (length !== present) return bad(12, `${length} bytes behind the header`, `${present}`)
  if (view.getUint32(16, true) === crc32(bytes, headerBytes)) return { sound: true, payload: bytes.slice(headerBytes) }
  return bad(headerBytes, 'contents with the checksum that the header names', 'others')
}

/** A document whose one damaged byte was found. */
export interface MendedDocument {
  readonly offset: number
  readonly payload: Uint8Array
}

/**
 * Finds the one byte that is damaged, if it is only one: the checksums hold for one value of one byte then. CRC-32
 * tells all errors of up to 32 neighbouring bits from none, and a wrong answer for a worse damage has a chance of
 * about 1 in 10,000; the caller checks what the payload says. Undefined: there is no such byte, or more than one.
 */
export function mendDocument(damaged: Uint8Array): MendedDocument | undefined {
  if (damaged.length > mendedBytesMax) return undefined
  const bytes = damaged.slice()
  let mended: MendedDocument | undefined
  for (let offset = 0; offset < bytes.length; offset++) {
    const old = bytes[offset]!
    for (let change = 1; change < 256; change++) {
      bytes[offset] = old ^ change
      const tried = inspectDocument(bytes)
      if (!tried.sound) continue
      if (mended !== undefined) return undefined
      mended = { offset, payload: tried.payload }
    }
    bytes[offset] = old
  }
  return mended
}

/** Throws FatalError `refused` where a later release has written it. */
function parseJson(name: string, payload: Uint8Array): Readonly<Record<string, unknown>> {
  const parsed: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
  if (typeof parsed !== 'object' || parsed === null) throw new Error('not a JSON object')
  const contents = parsed as Record<string, unknown>
  const { format } = contents
  if (typeof format === 'number' && format > formatVersion) throw newerFormat(name, format, formatVersion)
  if (format !== formatVersion) throw new Error(`format ${String(format)}`)
  return contents
}

/** What the document `identity` says. Throws an Error that tells why it says nothing. */
export function parseIdentity(payload: Uint8Array): Identity {
  const contents = parseJson('identity', payload)
  const clusterId: ClusterId | undefined =
    contents['clusterId'] === undefined ? undefined : parseClusterId(String(contents['clusterId']))
  return {
    nodeId: parseNodeId(String(contents['nodeId']), 'nodeId'),
    incarnation: parseIncarnation(String(contents['incarnation'])),
    clusterId,
  }
}

/** What the document `store` says. Throws an Error that tells why it says nothing. */
export function parseManifest(payload: Uint8Array): Manifest {
  const contents = parseJson('store', payload)
  const { reached } = contents
  if (reached !== undefined && !isSequence(reached)) throw new Error(`reached: ${JSON.stringify(reached)}`)
  return {
    clusterId: parseClusterId(String(contents['clusterId'])),
    incarnation: parseIncarnation(String(contents['incarnation'])),
    reached,
  }
}

/** What the document `lost` says. Throws an Error that tells why it says nothing. */
export function parseLost(payload: Uint8Array): Slot[] {
  return parseLostSlots(parseJson(lostSlotsName, payload))
}
