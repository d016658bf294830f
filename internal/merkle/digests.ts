import { type Hash64, hash64 } from '../hash/index.js'

/** A digest on the wire: two unsigned 32-bit halves, upper half first, big-endian. Do not change. */
export const digestBytes = 8

/** Packs `count` digests one behind the other. `digestAt` may return the same object each time. */
export function packDigests(count: number, digestAt: (position: number) => Readonly<Hash64>): Uint8Array {
  const packed = new Uint8Array(count * digestBytes)
  const view = new DataView(packed.buffer)
  for (let i = 0; i < count; i++) {
    const { hi, lo } = digestAt(i)
    view.setUint32(i * digestBytes, hi)
    view.setUint32(i * digestBytes + 4, lo)
  }
  return packed
}

/** The digest of packed digests, in their order: what a node of the tree says of those below it. Do not change. */
export function digestOf(packed: Uint8Array, start = 0, end: number = packed.length): Hash64 {
  const hash: Hash64 = { hi: 0, lo: 0 }
  hash64(packed, 0, 0, 0, hash, start, end)
  return hash
}

/**
 * Where two packed lists differ, ascending, each with the XOR of the two digests as 16 hexadecimal digits. Undefined: the
 * lists are not of the same length, and so not about the same things.
 */
export function differences(mine: Uint8Array, theirs: Uint8Array): Map<number, string> | undefined {
  if (mine.length !== theirs.length || mine.length % digestBytes !== 0) return undefined
  const found = new Map<number, string>()
  const [a, b] = [mine, theirs].map((packed) => new DataView(packed.buffer, packed.byteOffset, packed.length))
  for (let at = 0; at < mine.length; at += digestBytes) {
    const hi = (a!.getUint32(at) ^ b!.getUint32(at)) >>> 0
    const lo = (a!.getUint32(at + 4) ^ b!.getUint32(at + 4)) >>> 0
    if (hi !== 0 || lo !== 0) found.set(at / digestBytes, eightDigits(hi) + eightDigits(lo))
  }
  return found
}

function eightDigits(half: number): string {
  return half.toString(16).padStart(8, '0')
}
