import { FatalError } from '../base/index.js'
import { crc32 } from '../hash/index.js'

/** How the header of one kind of file begins: eight bytes of magic, then the version of its layout. Never changes, whatever else does. */
export interface HeaderLayout {
  readonly magic: Uint8Array
  /** Where the CRC of everything before it stands. */
  readonly crcAt: number
  /** The newest version that this software reads. */
  readonly newest: number
}

/**
 * Throws FatalError `refused` where a header whose checksum holds names a layout that this software does not know yet: a later
 * release has written the file, and nothing about it is damaged. To be asked before the header is read for what it says, also
 * by what repairs: taken for damage, sound data would be set aside.
 */
export function refuseNewerFormat(path: string, header: Uint8Array, { magic, crcAt, newest }: HeaderLayout): void {
  if (header.length < crcAt + 4) return
  for (let i = 0; i < magic.length; i++) if (header[i] !== magic[i]) return
  const view = new DataView(header.buffer, header.byteOffset, header.length)
  const version = view.getUint32(8, true)
  if (version > newest && view.getUint32(crcAt, true) === crc32(header, 0, crcAt)) {
    throw newerFormat(path, version, newest)
  }
}

/** The file is sound, and only a later release can read it. */
export function newerFormat(path: string, found: number, newest: number): FatalError {
  return new FatalError(
    'refused',
    `${path} was written by a later release: it has format ${found}, and this software reads up to ${newest}. Nothing is ` +
      'damaged; start the node with the release that wrote it, or a later one',
  )
}
