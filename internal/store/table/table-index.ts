import { wordBits } from './arena.js'

/*
 * The hash index of one slot: open addressing, linear probing, in one Uint32Array. All keys of a slot share the upper
 * 12 bits of their hash; the lower 20, the tag, say where to look and keep probes away from records of other keys
 * (2^-20 of them are met in vain). The home of a tag is tag * cells / 2^20, so the number of cells need not be a power
 * of two and the table stays between 53 % and 80 % full.
 *
 *   cell, word 0   tag (bits 12-31), chunk's upper 12 bits (bits 0-11)
 *         word 1   chunk's lower 12 bits (bits 20-31), word in the chunk (bits 0-19); 0: the cell is empty
 */
export type SlotIndex = Uint32Array

export const tagBits = 20
export const tagMask: number = 2 ** tagBits - 1
const tagScale = 2 ** -tagBits
const chunkLowBits = 12
const chunkLowMask = 0xfff
const wordMask: number = 2 ** wordBits - 1

const fullShareMax = 0.8
const fullShareMin = 0.25
const growth = 1.5
const cellsMin = 8

/** Shared by all slots without records; one empty cell, so that a probe needs no special case. Never written. */
export const emptyIndex: SlotIndex = new Uint32Array(2)

/** What V8 and the allocator add to the words of an index: measured as resident memory, over 200,000 of 384 B. */
const indexOverheadBytes = 550

export function indexBytes(index: SlotIndex): number {
  return index === emptyIndex ? 0 : index.length * 4 + indexOverheadBytes
}

export function homeOf(tag: number, cells: number): number {
  return (tag * cells * tagScale) | 0
}

export function isFree(index: SlotIndex, cell: number): boolean {
  return index[2 * cell + 1] === 0
}

export function tagAt(index: SlotIndex, cell: number): number {
  return index[2 * cell]! >>> chunkLowBits
}

export function chunkAt(index: SlotIndex, cell: number): number {
  return ((index[2 * cell]! & chunkLowMask) << chunkLowBits) | (index[2 * cell + 1]! >>> wordBits)
}

export function wordAt(index: SlotIndex, cell: number): number {
  return index[2 * cell + 1]! & wordMask
}

export function setCell(index: SlotIndex, cell: number, tag: number, chunk: number, word: number): void {
  index[2 * cell] = (tag << chunkLowBits) | (chunk >>> chunkLowBits)
  index[2 * cell + 1] = (chunk << wordBits) | word
}

/** The cell that points to (chunk, word), or -1. */
export function findLocation(index: SlotIndex, tag: number, chunk: number, word: number): number {
  const cells = index.length >>> 1
  const first = ((tag << chunkLowBits) | (chunk >>> chunkLowBits)) >>> 0
  const second = ((chunk << wordBits) | word) >>> 0
  for (let cell = homeOf(tag, cells); index[2 * cell + 1] !== 0; cell = cell + 1 === cells ? 0 : cell + 1) {
    if (index[2 * cell + 1] === second && index[2 * cell] === first) return cell
  }
  return -1
}

/** The first free cell for `tag`. There always is one: an index is never full. */
export function freeCellFor(index: SlotIndex, tag: number): number {
  const cells = index.length >>> 1
  let cell = homeOf(tag, cells)
  while (index[2 * cell + 1] !== 0) cell = cell + 1 === cells ? 0 : cell + 1
  return cell
}

/**
 * Empties a cell and moves up what probed past it (Knuth's Algorithm 6.4R), so that deletions leave nothing behind
 * that later probes would have to pass.
 */
export function clearCell(index: SlotIndex, cell: number): void {
  const cells = index.length >>> 1
  let hole = cell
  for (let next = hole; ; ) {
    next = next + 1 === cells ? 0 : next + 1
    if (index[2 * next + 1] === 0) break
    const home = homeOf(tagAt(index, next), cells)
    const homeIsBehindHole = hole <= next ? home > hole && home <= next : home > hole || home <= next
    if (homeIsBehindHole) continue
    index[2 * hole] = index[2 * next]!
    index[2 * hole + 1] = index[2 * next + 1]!
    hole = next
  }
  index[2 * hole] = 0
  index[2 * hole + 1] = 0
}

/** An index with room for `count` records: the same one, or a larger copy. It touches no record. */
export function grownFor(index: SlotIndex, count: number): SlotIndex {
  return count <= (index.length >>> 1) * fullShareMax ? index : copiedFor(index, count)
}

/** The index to use when `count` records are left: the same one, or a smaller copy. It touches no record. */
export function shrunkFor(index: SlotIndex, count: number): SlotIndex {
  if (count === 0) return emptyIndex
  const cells = index.length >>> 1
  return cells === cellsMin || count >= cells * fullShareMin ? index : copiedFor(index, count)
}

function copiedFor(index: SlotIndex, count: number): SlotIndex {
  const cells = index.length >>> 1
  const wanted = Math.max(cellsMin, Math.ceil((count / fullShareMax) * growth))
  const copy = new Uint32Array(2 * wanted)
  for (let cell = 0; cell < cells; cell++) {
    if (isFree(index, cell)) continue
    const to = freeCellFor(copy, tagAt(index, cell))
    copy[2 * to] = index[2 * cell]!
    copy[2 * to + 1] = index[2 * cell + 1]!
  }
  return copy
}
