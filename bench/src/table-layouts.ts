import { hash64, murmur3_32 } from '@quorumkv/internal/hash'
import type { StoredRecord } from '@quorumkv/internal/record'

/*
 * The layouts that docs/adr/0004-table-layout.md rejects, as far as it takes to measure them again: they merge by
 * version alone, and neither deletes, scans nor compacts.
 */
export interface Layout {
  merge(record: StoredRecord): void
  get(key: Uint8Array): StoredRecord | undefined
}

function isHigher(a: StoredRecord, hi: number, lo: number, node: number): boolean {
  return (a.hi - hi || a.lo - lo || a.node - node) > 0
}

class DigestSums {
  readonly #hi = new Uint32Array(4096)
  readonly #lo = new Uint32Array(4096)
  readonly #hash = { hi: 0, lo: 0 }

  toggle(slot: number, key: Uint8Array, hi: number, lo: number, node: number): void {
    hash64(key, hi, lo, node, this.#hash)
    this.#hi[slot]! ^= this.#hash.hi
    this.#lo[slot]! ^= this.#hash.lo
  }
}

/** One Map of objects per slot; a record has one buffer for its key and value. Reads hand out what is stored. */
export class MapLayout implements Layout {
  readonly #maps = Array.from({ length: 4096 }, () => new Map<string, StoredRecord>())
  readonly #digests = new DigestSums()

  merge(record: StoredRecord): void {
    const { key, value } = record
    const slot = murmur3_32(key) >>> 20
    const name = Buffer.prototype.latin1Slice.call(key, 0, key.length)
    const stored = this.#maps[slot]!.get(name)
    if (stored !== undefined) {
      if (!isHigher(record, stored.hi, stored.lo, stored.node)) return
      this.#digests.toggle(slot, key, stored.hi, stored.lo, stored.node)
    }
    this.#digests.toggle(slot, key, record.hi, record.lo, record.node)
    const bytes = new Uint8Array(key.length + value.length)
    bytes.set(key)
    bytes.set(value, key.length)
    this.#maps[slot]!.set(name, {
      ...record,
      key: bytes.subarray(0, key.length),
      value: bytes.subarray(key.length),
    })
  }

  get(key: Uint8Array): StoredRecord | undefined {
    return this.#maps[murmur3_32(key) >>> 20]!.get(Buffer.prototype.latin1Slice.call(key, 0, key.length))
  }
}

const headerBytes = 20

/** Per slot an index of its own and one growing buffer of records. */
class SlotArena {
  cells = new Uint32Array(16)
  bytes = new Uint8Array(1024)
  view = new DataView(this.bytes.buffer)
  used = 8
  count = 0

  /** The cell of the key, or the free one where it belongs. */
  find(hash: number, key: Uint8Array): number {
    const count = this.cells.length / 2
    let cell = Math.floor(((hash & 0xfffff) * count) / 2 ** 20)
    for (; this.cells[2 * cell + 1] !== 0; cell = cell + 1 === count ? 0 : cell + 1) {
      if (this.cells[2 * cell] === hash && this.#hasKey(this.cells[2 * cell + 1]!, key)) break
    }
    return cell
  }

  append(record: StoredRecord): number {
    const at = this.used
    const size = headerBytes + record.key.length + record.value.length
    if (at + size > this.bytes.length) {
      const grown = new Uint8Array(Math.ceil((at + size) * 1.25))
      grown.set(this.bytes)
      this.bytes = grown
      this.view = new DataView(grown.buffer)
    }
    this.used = at + size
    return at
  }

  write(at: number, record: StoredRecord): void {
    this.view.setUint32(at, record.key.length)
    this.view.setUint32(at + 4, record.value.length)
    this.view.setUint32(at + 8, record.hi)
    this.view.setUint32(at + 12, record.lo)
    this.view.setUint32(at + 16, record.node)
    this.bytes.set(record.key, at + headerBytes)
    this.bytes.set(record.value, at + headerBytes + record.key.length)
  }

  grow(): void {
    const old = this.cells
    this.cells = new Uint32Array(2 * Math.ceil(old.length * 0.75))
    const count = this.cells.length / 2
    for (let from = 0; from < old.length; from += 2) {
      if (old[from + 1] === 0) continue
      let cell = Math.floor(((old[from]! & 0xfffff) * count) / 2 ** 20)
      while (this.cells[2 * cell + 1] !== 0) cell = cell + 1 === count ? 0 : cell + 1
      this.cells[2 * cell] = old[from]!
      this.cells[2 * cell + 1] = old[from + 1]!
    }
  }

  #hasKey(at: number, key: Uint8Array): boolean {
    if (this.view.getUint32(at) !== key.length) return false
    for (let i = 0; i < key.length; i++) if (this.bytes[at + headerBytes + i] !== key[i]) return false
    return true
  }
}

export class SlotArenaLayout implements Layout {
  readonly #arenas = Array.from({ length: 4096 }, () => new SlotArena())
  readonly #digests = new DigestSums()

  merge(record: StoredRecord): void {
    const { key, value } = record
    const hash = murmur3_32(key)
    const slot = hash >>> 20
    const arena = this.#arenas[slot]!
    const { view } = arena
    const cell = arena.find(hash, key)
    let at = arena.cells[2 * cell + 1]!
    if (at !== 0) {
      if (!isHigher(record, view.getUint32(at + 8), view.getUint32(at + 12), view.getUint32(at + 16))) return
      this.#digests.toggle(slot, key, view.getUint32(at + 8), view.getUint32(at + 12), view.getUint32(at + 16))
    }
    this.#digests.toggle(slot, key, record.hi, record.lo, record.node)
    const isNew = at === 0
    if (isNew || view.getUint32(at + 4) !== value.length) at = arena.append(record)
    arena.write(at, record)
    arena.cells[2 * cell] = hash
    arena.cells[2 * cell + 1] = at
    if (isNew && ++arena.count > arena.cells.length * 0.4) arena.grow()
  }

  get(key: Uint8Array): StoredRecord | undefined {
    const hash = murmur3_32(key)
    const arena = this.#arenas[hash >>> 20]!
    const at = arena.cells[2 * arena.find(hash, key) + 1]!
    if (at === 0) return undefined
    const { view } = arena
    const start = at + headerBytes
    const bytes = arena.bytes.slice(start, start + view.getUint32(at) + view.getUint32(at + 4))
    return {
      hi: view.getUint32(at + 8),
      lo: view.getUint32(at + 12),
      node: view.getUint32(at + 16),
      key: bytes.subarray(0, key.length),
      tombstone: false,
      expiresAtMs: 0,
      value: bytes.subarray(key.length),
    }
  }
}
