import { NodeDisk } from '@quorumkv/internal/env-node'
import type { Store } from '@quorumkv/internal/store'
import { CountingDisk, openInDirectory } from './store-disk.js'
import { LatencyMeter } from './store-meters.js'
import { Batch, fill, KeyChooser, Stamps } from './store-records.js'
import type { Measurement } from './store-report.js'

/** Commits of one record each, every one acknowledged after fdatasync. */
export interface CommitsTask {
  readonly kind: 'commits'
  readonly keys: number
  /** How many write at the same time, each waiting for its last commit; one after the other. */
  readonly writers: readonly number[]
  readonly warmUpMs: number
  readonly durationMs: number
}

export async function measureCommits(task: CommitsTask, directory: string, seed: string): Promise<Measurement[]> {
  const { keys, writers, durationMs } = task
  const disk = new CountingDisk(new NodeDisk(directory))
  const store = await openInDirectory(directory, { fsync: 'always', snapshots: 'on-demand', disk })
  const measured = [await measureDisk(new NodeDisk(`${directory}/bare`), durationMs)]
  const stamps = new Stamps()
  await fill(store, 0, keys, { seed, stamps, batchRecords: 64, commitsInFlight: 16 })
  const chooser = new KeyChooser(keys, seed)
  for (const count of writers) {
    const batches = Array.from({ length: count }, () => new Batch(1, stamps, seed))
    const write = (forMs: number): Promise<Written> => writeFor(store, batches, () => chooser.next(), forMs)
    await write(task.warmUpMs)
    const before = disk.syncs
    const { latencies, seconds, writes } = await write(durationMs)
    const latencyUs = latencies.summary
    const name = `${count} ${count === 1 ? 'writer' : 'writers'}`
    measured.push(
      { name: `${name}, acknowledged`, value: writes / seconds, unit: '/s', ...(latencyUs && { latencyUs }) },
      { name: '  for each fdatasync', value: writes / Math.max(1, disk.syncs - before), unit: 'writes' },
    )
  }
  await store.close()
  return measured
}

interface Written {
  readonly writes: number
  readonly seconds: number
  readonly latencies: LatencyMeter
}

async function writeFor(store: Store, batches: readonly Batch[], keyOf: () => number, forMs: number): Promise<Written> {
  const latencies = new LatencyMeter()
  let writes = 0
  const started = performance.now()
  const deadline = started + forMs
  const writer = async (batch: Batch): Promise<void> => {
    for (let begun = performance.now(); begun < deadline; ) {
      batch.add(keyOf())
      await batch.commit(store)
      const ended = performance.now()
      latencies.record(ended - begun)
      writes++
      begun = ended
    }
  }
  await Promise.all(batches.map(writer))
  return { writes, seconds: (performance.now() - started) / 1000, latencies }
}

/** About what the frame of one record takes. */
const writeBytes = 200
const fileBytes = 4_194_304

/** The same disk with nothing above it: one write into blocks that are there, one fdatasync. */
async function measureDisk(disk: NodeDisk, durationMs: number): Promise<Measurement> {
  await disk.makeDirectory('')
  const file = await disk.open('writes', 'create')
  await file.preallocate(fileBytes)
  await file.sync()
  const latencies = new LatencyMeter()
  const bytes = new Uint8Array(writeBytes).fill(1)
  const started = performance.now()
  let writes = 0
  for (let begun = started; begun < started + durationMs; writes++) {
    await file.write(bytes, (writes * writeBytes) % (fileBytes - writeBytes))
    await file.sync()
    const ended = performance.now()
    latencies.record(ended - begun)
    begun = ended
  }
  const seconds = (performance.now() - started) / 1000
  await file.close()
  const latencyUs = latencies.summary
  return { name: 'bare write and fdatasync', value: writes / seconds, unit: '/s', ...(latencyUs && { latencyUs }) }
}
