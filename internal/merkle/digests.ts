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
 * The positions at which two packed lists differ, ascending; undefined: they are not of the same length, and so not
 * about the same things.
 */
export function differingPositions(mine: Uint8Array, theirs: Uint8Array): number[] | undefined {
  if (mine.length !== theirs.length || mine.length % digestBytes !== 0) return undefined
  const positions: number[] = []
  for (let at = 0; at < mine.length; at += digestBytes) {
    for (let i = at; i < at + digestBytes; i++) {
      if (mine[i] === theirs[i]) continue
      positions.push(at / digestBytes)
      break
    }
  }
  return positions
}
