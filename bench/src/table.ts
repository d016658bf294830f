import { Table } from '@quorumkv/internal/store'
import { type Layout, MapLayout, SlotArenaLayout } from './table-layouts.js'

/*
 * The in-memory table alone: memory per entry, operations per second, and the longest stall.
 *
 *   node --expose-gc bench/dist/table.js [table|map|slot-arenas] [entries]
 *
 * 16 B keys, 100 B values. Unless it says otherwise, keys are visited far from the order in which they were written, so
 * that nearly every one is a miss of the processor's caches; in that order, nearly none is.
 */
const keyBytes = 16
const valueBytes = 100
/** Operations between two readings of the clock: a stall is told from its neighbours, and the clock costs little. */
const operationsPerReading = 16
const operationsMin = 2_000_000

type Visit = (key: Uint8Array, i: number) => void

class Workload {
  readonly entries: number
  readonly #key = new Uint8Array(keyBytes).fill(0x61)
  readonly #stride: number

  constructor(entries: number) {
    this.entries = entries
    this.#stride = strideFor(entries)
  }

  /** Calls `visit` for each of the keys, in the order of their writing or in another; returns the longest stall in ms. */
  run(visit: Visit, inOrder = false): number {
    let longest = 0
    let before = performance.now()
    let at = 0
    for (let n = 0; n < this.entries; n++) {
      visit(this.#keyOf(at), at)
      at += inOrder ? 1 : this.#stride
      if (at >= this.entries) at -= this.entries
      if (n % operationsPerReading !== 0) continue
      const now = performance.now()
      if (now - before > longest) longest = now - before
      before = now
    }
    return longest
  }

  /** Two 32-bit mixes of the number: no two keys alike, all slots alike. */
  #keyOf(i: number): Uint8Array {
    const key = this.#key
    const mixed = Math.imul(i + 1, 0x9e3779b1)
    for (let byte = 0; byte < 4; byte++) {
      key[byte] = mixed >>> (8 * byte)
      key[byte + 8] = i >>> (8 * byte)
    }
    return key
  }
}

/** A step that visits every number below `entries` once, far from the one before. */
function strideFor(entries: number): number {
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b))
  let stride = Math.max(1, Math.floor(entries * 0.618))
  while (divisor(stride, entries) !== 1) stride++
  return stride
}

function measure(name: string, workload: Workload, visit: Visit, rounds: number, inOrder = false): void {
  let longest = 0
  const start = performance.now()
  for (let round = 0; round < rounds; round++) longest = Math.max(longest, workload.run(visit, inOrder))
  const ms = performance.now() - start
  const perSecond = ((workload.entries * rounds) / ms / 1000).toFixed(2)
  console.log(`${name.padEnd(34)} ${perSecond.padStart(6)} M/s   longest stall ${longest.toFixed(2)} ms`)
}

function residentBytes(): number {
  for (let i = 0; i < 4; i++) globalThis.gc?.()
  return process.memoryUsage().rss
}

function record(key: Uint8Array, lo: number, value: Uint8Array) {
  return { hi: 26_000_000, lo, node: 3, key, tombstone: false, expiresAtMs: 0, value }
}

function layoutOf(name: string, table: Table): Layout {
  if (name === 'map') return new MapLayout()
  return name === 'slot-arenas' ? new SlotArenaLayout() : table
}

function main(name: string, entries: number): void {
  const workload = new Workload(entries)
  const rounds = Math.max(1, Math.ceil(operationsMin / entries))
  const value = new Uint8Array(valueBytes).fill(7)
  // Both kinds of allocation have happened before the first reading, so that it counts entries and not the program.
  workload.run((key) => record(key, 0, value))
  const before = residentBytes()
  const table = new Table()
  const layout = layoutOf(name, table)
  let lo = 1
  console.log(`${name}, ${entries} entries, ${rounds} rounds`)
  measure('merge, new keys', workload, (key) => layout.merge(record(key, lo, value)), 1, true)
  const over = (bytes: number): string => `${(bytes / entries - keyBytes - valueBytes).toFixed(1)} B`
  console.log(`per entry over key and value: ${over(residentBytes() - before)} resident`)
  if (layout === table) console.log(`per entry over key and value: ${over(table.bytes)} by its own account`)
  let sum = 0
  const get: Visit = (key) => {
    sum += layout.get(key)!.value[0]!
  }
  measure('get, in the order of writing', workload, get, rounds, true)
  measure('get', workload, get, rounds)
  const overwrite: Visit = (key, i) => {
    if (i === 0) lo++
    layout.merge(record(key, lo + entries, value))
  }
  measure('merge, same size', workload, overwrite, rounds)
  if (layout === table) measureChurn(table, workload, rounds, over)
  if (sum === 0) throw new Error('the values read were not those written')
}

/** Values of 84 to 115 bytes, so that no record takes its predecessor's place; compaction as the store does it. */
function measureChurn(table: Table, workload: Workload, rounds: number, over: (bytes: number) => string): void {
  const values = Array.from({ length: 32 }, (_, i) => new Uint8Array(valueBytes - 16 + i).fill(7))
  let lo = 2 ** 31
  const churn: Visit = (key, i) => {
    lo++
    table.merge(record(key, lo, values[(i + lo) % 32]!))
    if (i % 64 === 0) table.compactStep(64 * 140 * 3)
  }
  measure('merge, other sizes, compaction', workload, churn, rounds)
  console.log(`per entry over key and value: ${over(table.bytes)} by its own account, after that`)
  const remove: Visit = (key) => {
    table.remove(key, table.getVersion(key)!)
  }
  measure('getVersion and remove', workload, remove, 1)
  while (table.compactStep(1_000_000));
  console.log(`after removing all: ${(table.bytes / 1e6).toFixed(1)} MB`)
}

main(process.argv[2] ?? 'table', Number(process.argv[3] ?? 100_000))
