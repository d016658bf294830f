import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeDisk } from '@quorumkv/internal/env-node'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CountingDisk, openInDirectory } from './store-disk.js'
import { checkRecord, fill, keyBytes, Stamps, writeKey } from './store-records.js'

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quorumkv-bench-test-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

test('each commit that waits for the one before costs one sync, and all are counted', async () => {
  const disk = new CountingDisk(new NodeDisk(directory))
  await using store = disposable(await openInDirectory(directory, { fsync: 'always', snapshots: 'on-demand', disk }))
  const before = disk.syncs
  await fill(store.value, 0, 30, { seed: '1', stamps: new Stamps(), batchRecords: 10, commitsInFlight: 1 })
  // A log that is idle in between, because this machine is busy, seals itself with one sync more.
  expect(disk.syncs - before).toBeGreaterThanOrEqual(3)
  expect(disk.syncs - before).toBeLessThanOrEqual(6)
})

test('what one process has put, the next one finds in the directory', async () => {
  const options = { fsync: 'never', snapshots: 'on-demand' } as const
  const first = await openInDirectory(directory, options)
  await fill(first, 0, 100, { seed: '1', stamps: new Stamps(), batchRecords: 64, commitsInFlight: 4 })
  await first.close()
  await using second = disposable(await openInDirectory(directory, options))
  expect(second.value.statistics().entries).toBe(100)
  const key = new Uint8Array(keyBytes)
  writeKey(99, key)
  checkRecord(99, second.value.get(key))
})

function disposable<T extends { close(): Promise<void> }>(value: T): AsyncDisposable & { readonly value: T } {
  return { value, [Symbol.asyncDispose]: () => value.close() }
}
