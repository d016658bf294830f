import { setTimeout as delay } from 'node:timers/promises'
import { openInDirectory } from './store-disk.js'
import { fill, keyBytes, putMany, Stamps, valueBytes } from './store-records.js'
import { budgets, type Measurement } from './store-report.js'

/** What an entry takes of memory, when that many have been loaded; a put that fails ends the run. */
export interface MemoryTask {
  readonly kind: 'memory'
  readonly entries: number
}

const options = { batchRecords: 64, commitsInFlight: 16 }
/** Entries that are there before the first reading, and how often they are overwritten by then. */
const firstEntries = 10_000
const overwrites = 50

export async function measureMemory({ entries }: MemoryTask, directory: string, seed: string): Promise<Measurement[]> {
  const stamps = new Stamps()
  const store = await openInDirectory(directory, { fsync: 'never', snapshots: 'on-demand' })
  // Buffers, compiled code and the young generation have their size before the first reading: entries make the rest.
  await fill(store, 0, firstEntries, { seed, stamps, ...options })
  await putMany(store, firstEntries * overwrites, (i) => i % firstEntries, { seed, stamps, ...options })
  const residentBefore = await residentBytes()
  const tableBefore = store.statistics().tableBytes
  const startedMs = performance.now()
  await fill(store, firstEntries, entries, { seed, stamps, ...options })
  const seconds = (performance.now() - startedMs) / 1000
  const resident = (await residentBytes()) - residentBefore
  const table = store.statistics().tableBytes - tableBefore
  await store.close()
  const over = (bytes: number): number => bytes / (entries - firstEntries) - keyBytes - valueBytes
  return [
    { name: 'put, new keys', value: (entries - firstEntries) / seconds, unit: '/s' },
    { name: 'over key and value, resident', value: over(resident), unit: 'B', budget: budgets.entryBytes },
    { name: 'over key and value, of the table', value: over(table), unit: 'B', budget: budgets.entryBytes },
  ]
}

/** What is left when the collector has had its turns; it gives memory back to the system in the background. */
async function residentBytes(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc!()
    await delay(50)
  }
  return process.memoryUsage.rss()
}
