import { describe, expect, it } from 'vitest'
import type { StoredRecord } from '../../record/index.js'
import { Arena } from './arena.js'
import { Table } from './table.js'

const chunkBytes = 16_384
const entries = 3000
const text = new TextEncoder()

function table(arena: Arena = new Arena(chunkBytes / 4)): Table {
  return new Table(arena)
}

function keyOf(i: number): Uint8Array {
  return text.encode(`key-${String(i).padStart(12, '0')}`)
}

function record(key: Uint8Array, lo: number, valueBytes: number): StoredRecord {
  return { hi: 1, lo, node: 1, key, tombstone: false, expiresAtMs: 0, value: new Uint8Array(valueBytes) }
}

function fill(into: Table, lo: number, valueBytes: (i: number) => number): void {
  for (let i = 0; i < entries; i++) {
    into.merge(record(keyOf(i), lo, valueBytes(i)))
    into.compactStep(1000)
  }
}

describe('the memory of a Table', () => {
  it('levels off while records of changing sizes are overwritten', () => {
    const churned = table()
    fill(churned, 1, (i) => 80 + ((i + 1) % 41))
    const before = churned.bytes
    for (let lo = 2; lo <= 30; lo++) fill(churned, lo, (i) => 80 + ((i + lo) % 41))
    const alive = entries * (20 + 16 + 100 + 2)
    expect(churned.bytes - before).toBeLessThan(alive * 0.25 + 2 * chunkBytes)
  })

  it('does not grow at all while records are overwritten by others of their size', () => {
    const still = table()
    fill(still, 1, () => 100)
    const before = still.bytes
    for (let lo = 2; lo <= 5; lo++) fill(still, lo, () => 100)
    expect(still.bytes).toBe(before)
  })

  it('shrinks when most records are removed, and is all but empty when all are', () => {
    const empty = table().bytes
    const shrunk = table()
    fill(shrunk, 1, () => 100)
    const full = shrunk.bytes
    const removeSome = (from: number): void => {
      for (let i = 0; i < entries; i++) {
        if (i % 10 >= from) shrunk.remove(keyOf(i), { hi: 1, lo: 1, node: 1 })
      }
      while (shrunk.compactStep(10_000));
    }
    removeSome(1)
    expect(shrunk.entries).toBe(entries / 10)
    expect(shrunk.bytes - empty).toBeLessThan((full - empty) * 0.2 + 2 * chunkBytes)
    removeSome(0)
    expect(shrunk.bytes - empty).toBeLessThanOrEqual(2 * chunkBytes)
  })

  it('gives a large value back as soon as it is overwritten', () => {
    const large = table()
    for (let lo = 1; lo <= 50; lo++) large.merge(record(keyOf(0), lo, 1_000_000 + lo * 4))
    expect(large.bytes).toBeLessThan(1_200_000)
  })

  it('is compacted in steps that move no more than their budget and one record', () => {
    let allocatedBytes = 0
    class CountingArena extends Arena {
      override allocate(words: number): number {
        allocatedBytes += words * 4
        return super.allocate(words)
      }
    }
    const counted = table(new CountingArena(chunkBytes / 4))
    for (let lo = 1; lo <= 2; lo++) {
      for (let i = 0; i < entries; i++) {
        if (lo === 1 || i % 3 === 0) counted.merge(record(keyOf(i), lo, 100 + lo * 4))
      }
    }
    let steps = 0
    const recordBytesMax = 20 + 16 + 108
    for (let more = true; more; steps++) {
      allocatedBytes = 0
      more = counted.compactStep(500)
      expect(allocatedBytes).toBeLessThanOrEqual(500 + recordBytesMax)
    }
    expect(steps).toBeGreaterThan(20)
  })

  it('is compacted in steps of a few records, also where they hold next to nothing', () => {
    let allocations = 0
    class CountingArena extends Arena {
      override allocate(words: number): number {
        allocations++
        return super.allocate(words)
      }
    }
    const counted = table(new CountingArena(chunkBytes / 4))
    for (let lo = 1; lo <= 2; lo++) {
      for (let i = 0; i < entries; i++) {
        if (lo === 1 || i % 3 === 0) counted.merge(record(Uint8Array.of(i, i >>> 8), lo, (lo - 1) * 4))
      }
    }
    let moved = 0
    for (let more = true; more; moved += allocations) {
      allocations = 0
      more = counted.compactStep(1000)
      // 24 B of a record and 32 B for finding it.
      expect(allocations).toBeLessThanOrEqual(Math.ceil(1000 / 56))
    }
    expect(moved).toBeGreaterThan(100)
  })
})
