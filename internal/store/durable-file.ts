import { assert, FatalError, limits } from '../base/index.js'
import { type Disk, DiskError, type DiskFile, readFully, writeFully } from '../env/index.js'
import { crc32 } from '../hash/index.js'
import {
  corruption,
  createDurably,
  formatVersion,
  type HeaderLayout,
  newerFormat,
  refuseNewerFormat,
} from '../wal/index.js'

/*
 * FORMAT.md, "Document". Do not change: it is on disks.
 */
export const documentHeaderBytes = 24
// "QKVDOC\r\n"
const magic = Uint8Array.of(0x51, 0x4b, 0x56, 0x44, 0x4f, 0x43, 0x0d, 0x0a)

/** For `refuseNewerFormat`. */
export const documentLayout: HeaderLayout = { magic, crcAt: 20, newest: formatVersion }

/** The bytes of a document with this payload. */
export function encodeDocument(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(documentHeaderBytes + payload.length)
  const view = new DataView(bytes.buffer)
  bytes.set(magic)
  view.setUint32(8, formatVersion, true)
  view.setUint32(12, payload.length, true)
  view.setUint32(16, crc32(payload), true)
  view.setUint32(20, crc32(bytes, 0, 20), true)
  bytes.set(payload, documentHeaderBytes)
  return bytes
}

/** The payload, or what is wrong with it. */
export function decodeDocument(bytes: Uint8Array): Uint8Array | string {
  if (bytes.length < documentHeaderBytes) return `a file of ${bytes.length} bytes`
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let i = 0; i < magic.length; i++) if (bytes[i] !== magic[i]) return 'another kind of file'
  if (view.getUint32(20, true) !== crc32(bytes, 0, 20)) return 'a header with a wrong checksum'
  const version = view.getUint32(8, true)
  if (version !== formatVersion) return `format version ${version}`
  const payload = bytes.slice(documentHeaderBytes)
  if (view.getUint32(12, true) !== payload.length) return `${payload.length} bytes of ${view.getUint32(12, true)}`
  if (view.getUint32(16, true) !== crc32(payload)) return 'contents with a wrong checksum'
  return payload
}

async function openIfThere(disk: Disk, path: string): Promise<DiskFile | undefined> {
  try {
    return await disk.open(path, 'read')
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return undefined
    throw error
  }
}

function checkName(name: string): void {
  assert(/^[a-z0-9-]{1,64}$/.test(name), `${JSON.stringify(name)} is no name for a document`)
}

/**
 * What was last written under this name, in the data directory itself; undefined: nothing ever was. Throws FatalError
 * `corrupt` where the file is damaged, `refused` where a later release has written it, and DiskErrors.
 */
export async function readDocument(disk: Disk, name: string): Promise<Uint8Array | undefined> {
  checkName(name)
  const file = await openIfThere(disk, name)
  if (file === undefined) return undefined
  try {
    // One byte more than there may be, so that a file that is too long is seen, and costs no more memory.
    const bytes = new Uint8Array(Math.min(await file.size(), documentHeaderBytes + limits.documentBytesMax + 1))
    const found = bytes.subarray(0, await readFully(file, bytes, 0))
    refuseNewerFormat(name, found, documentLayout)
    const payload = decodeDocument(found)
    if (typeof payload !== 'string') return payload
    throw corruption({ path: name, offset: 0, expected: 'a document', found: payload })
  } finally {
    await file.close()
  }
}

/**
 * What `decode` makes of a document; undefined: nothing was ever written under this name. Throws like `readDocument`, and
 * FatalError `corrupt` for whatever `decode` throws: contents whose checksum is right, and that none of our code writes.
 */
export async function readDocumentAs<T>(
  disk: Disk,
  name: string,
  decode: (payload: Uint8Array) => T,
): Promise<T | undefined> {
  const payload = await readDocument(disk, name)
  if (payload === undefined) return undefined
  try {
    return decode(payload)
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error)
    throw corruption({ path: name, offset: documentHeaderBytes, expected: `the document "${name}"`, found }, error)
  }
}

/**
 * Replaces a document as a whole: when this resolves the new contents are durable, and a crash at any time before
 * leaves the old or the new. The caller sees to it that one name has one writer at a time, and that `payload` is at
 * most `limits.documentBytesMax` long. Throws FatalError `disk-failed` where a sync fails, and DiskErrors.
 */
export async function writeDocument(disk: Disk, name: string, payload: Uint8Array): Promise<void> {
  checkName(name)
  assert(payload.length <= limits.documentBytesMax, `document ${name} takes ${payload.length} bytes`)
  const bytes = encodeDocument(payload)
  await disk.makeDirectory('.')
  await createDurably(disk, `${name}.tmp`, name, (fresh) => writeFully(fresh, bytes, 0))
}

/** Documents whose contents are JSON: what every one of ours holds that people may have to read. */
export async function readJsonDocument(disk: Disk, name: string): Promise<Record<string, unknown> | undefined> {
  const bytes = await readDocument(disk, name)
  if (bytes === undefined) return undefined
  const found = new TextDecoder().decode(bytes)
  try {
    const parsed: unknown = JSON.parse(found)
    if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>
  } catch (error) {
    throw corruption({ path: name, offset: documentHeaderBytes, expected: 'JSON', found }, error)
  }
  throw corruption({ path: name, offset: documentHeaderBytes, expected: 'a JSON object', found })
}

export function writeJsonDocument(
  disk: Disk,
  name: string,
  contents: Readonly<Record<string, unknown>>,
): Promise<void> {
  return writeDocument(disk, name, new TextEncoder().encode(JSON.stringify(contents)))
}

/** Reads a field of a JSON document; what `parse` throws means damage. */
export function documentField<T>(
  name: string,
  contents: Readonly<Record<string, unknown>>,
  field: string,
  parse: (text: string, field: string) => T,
): T {
  const found = contents[field]
  try {
    if (typeof found === 'string') return parse(found, field)
  } catch (error) {
    if (error instanceof FatalError) throw error
    throw corruption(
      { path: name, offset: documentHeaderBytes, expected: `a valid ${field}`, found: JSON.stringify(found) },
      error,
    )
  }
  throw corruption({
    path: name,
    offset: documentHeaderBytes,
    expected: `a ${field}`,
    found: JSON.stringify(found) ?? 'none',
  })
}

/** A document of a later release must not be read as if it were ours. Throws FatalError: `refused` then, `corrupt` for anything else. */
export function checkDocumentFormat(name: string, contents: Readonly<Record<string, unknown>>): void {
  const { format } = contents
  if (format === formatVersion) return
  if (typeof format === 'number' && format > formatVersion) throw newerFormat(name, format, formatVersion)
  const found = `format ${JSON.stringify(format)}`
  throw corruption({ path: name, offset: documentHeaderBytes, expected: `format ${formatVersion}`, found })
}
