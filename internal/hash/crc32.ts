import { crc32 as zlibCrc32 } from 'node:zlib'

// Eight tables of 256: table[s * 256 + byte] is the remainder of `byte` with s zero bytes behind it ("slicing by 8",
// Kounavis and Berry, 2005), so that eight bytes cost eight independent lookups.
const table = new Int32Array(8 * 256)
for (let byte = 0; byte < 256; byte++) {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1
  table[byte] = remainder
}
for (let i = 256; i < table.length; i++) table[i] = table[table[i - 256]! & 0xff]! ^ (table[i - 256]! >>> 8)

// Measured on 2 shared cores, Node 20.20.2, ns for table/zlib: 16 B 17/75, 256 B 139/161, 384 B 263/202, 4 KiB 2133/698.
const zlibFromBytes = 320

function tableCrc32(bytes: Uint8Array, start: number, end: number, previous: number): number {
  let c = ~previous
  let i = start
  for (; i + 8 <= end; i += 8) {
    c =
      table[0x700 + ((c ^ bytes[i]!) & 0xff)]! ^
      table[0x600 + (((c >>> 8) ^ bytes[i + 1]!) & 0xff)]! ^
      table[0x500 + (((c >>> 16) ^ bytes[i + 2]!) & 0xff)]! ^
      table[0x400 + ((c >>> 24) ^ bytes[i + 3]!)]! ^
      table[0x300 + bytes[i + 4]!]! ^
      table[0x200 + bytes[i + 5]!]! ^
      table[0x100 + bytes[i + 6]!]! ^
      table[bytes[i + 7]!]!
  }
  for (; i < end; i++) c = table[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8)
  return ~c >>> 0
}

/**
 * CRC-32 (IEEE 802.3, as in zlib and gzip) of `bytes[start, end)`, as an unsigned 32-bit number. `previous` is the
 * checksum of what stands before these bytes: `crc32(b, 0, n)` equals `crc32(b, k, n, crc32(b, 0, k))`.
 */
export function crc32(bytes: Uint8Array, start = 0, end: number = bytes.length, previous = 0): number {
  if (end - start < zlibFromBytes) return tableCrc32(bytes, start, end, previous)
  return zlibCrc32(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), previous)
}
