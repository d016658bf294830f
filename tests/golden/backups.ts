import { BackupReader, BackupWriter, type Manifest, readManifest } from '@quorumkv/internal/backup'
import { parseClusterId } from '@quorumkv/internal/base'
import { type Disk, writeFully } from '@quorumkv/internal/env'
import { encodeRecords, type StoredRecord } from '@quorumkv/internal/record'
import { slotOf } from '@quorumkv/internal/slots'
import { emptyDisk, readFile } from './disk.js'
import type { GoldenFormat } from './golden.js'

const name = '20260131T235959Z-0123'
const origin = {
  name,
  id: '0123456789abcdef0123456789abcdef',
  clusterId: parseClusterId('00112233445566778899aabbccddeeff'),
  epoch: 7,
  replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
  startedMs: 1_769_903_999_000,
}
const stamped = { hi: 0x0001_8bcf, lo: 0xe568_0007, node: 3 }
const written = { ...stamped, key: Buffer.from('k'), tombstone: false, expiresAtMs: 0, value: Buffer.from('value') }
const expiring = { ...written, key: Buffer.from('expires'), expiresAtMs: 1_800_000_000_000 }
const deleted = { ...written, key: Buffer.from('gone'), tombstone: true, value: Buffer.alloc(0) }
const records: readonly StoredRecord[] = [written, expiring, deleted]
const floorMs = 1_700_000_000_000

async function makeBackup(): Promise<{ disk: Disk; manifest: Manifest }> {
  const disk = emptyDisk()
  await disk.makeDirectory('.')
  const writer = new BackupWriter(disk, origin, undefined)
  const placed = records.map((record) => ({ slot: slotOf(record.key), record })).sort((a, b) => a.slot - b.slot)
  for (const { slot, record } of placed) {
    await writer.add(slot, encodeRecords([record]), record === written ? floorMs : 0)
  }
  return { disk, manifest: await writer.finish(1_769_904_000_000, { from: 2n ** 56n, to: 2n ** 56n + 1n }) }
}

async function withFile(path: string, bytes: Uint8Array): Promise<{ disk: Disk; manifest: Manifest }> {
  const { disk, manifest } = await makeBackup()
  await disk.remove(path)
  const file = await disk.open(path, 'create')
  await writeFully(file, bytes, 0)
  await file.close()
  return { disk, manifest }
}

const segment = `${name}.0001.segment`

async function readSegment(bytes: Uint8Array): Promise<unknown> {
  const { disk, manifest } = await withFile(segment, bytes)
  const found: StoredRecord[] = []
  const reader = new BackupReader(disk, manifest)
  for (const place of manifest.slots) {
    await reader.read(place, (block) => {
      for (const record of block)
        found.push({ ...record, key: Buffer.from(record.key), value: Buffer.from(record.value) })
    })
  }
  await reader.close()
  return found
}

/** FORMAT.md, "Backup": a segment. */
export const backupSegments: GoldenFormat = {
  name: 'backup-segment',
  version: 1,
  oldest: 1,
  versionAt: 8,
  samples: { small: { write: async () => readFile((await makeBackup()).disk, segment), read: readSegment } },
}

/** The same: a manifest, which is a document. */
export const backupManifests: GoldenFormat = {
  name: 'backup-manifest',
  version: 1,
  oldest: 1,
  versionAt: 8,
  samples: {
    small: {
      write: async () => readFile((await makeBackup()).disk, `${name}.manifest`),
      read: async (bytes) => await readManifest((await withFile(`${name}.manifest`, bytes)).disk, name),
    },
  },
}
