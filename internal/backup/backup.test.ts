import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Disk } from '../env/index.js'
import type { StoredRecord } from '../record/index.js'
import { slotOf } from '../slots/index.js'
import {
  bySlot,
  contentsOf,
  cutAfter,
  make,
  newDrive,
  originOf,
  put,
  readFile,
  tombstone,
  writeByte,
} from './backup.test-support.js'
import {
  type BackupDamage,
  listBackups,
  newestOf,
  packedDigests,
  readManifest,
  removeBackup,
  verifyBackup,
} from './index.js'

async function verify(disk: Disk, name: string) {
  const manifest = await readManifest(disk, name)
  return await verifyBackup(disk, manifest!)
}

const plain = (records: Iterable<StoredRecord>): unknown[] =>
  [...bySlot(records).values()].flat().map((record) => ({
    ...record,
    key: Buffer.from(record.key).toString('hex'),
    value: Buffer.from(record.value).toString('hex'),
  }))

const someRecords = [
  ...Array.from({ length: 40 }, (_, i) => put(`key:${i}`, `value ${i}`, 1_000 + i)),
  tombstone('gone', 2_000),
  put('expires', 'soon', 2_001, 1_700_000_000_000),
]

test('a backup gives back every record with its version, in however small pieces and segments it was written', async () => {
  const record = fc.record({
    key: fc.string({ minLength: 1, maxLength: 12 }),
    value: fc.string({ maxLength: 60 }),
    ms: fc.integer({ min: 1, max: 2 ** 40 }),
    deleted: fc.boolean(),
    expiresAtMs: fc.constantFrom(0, 1, 2 ** 41),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(record, { selector: ({ key }) => key, maxLength: 40 }),
      fc.integer({ min: 1, max: 4 }),
      fc.constantFrom(1, 300, 1_000_000),
      async (drawn, piece, segmentBytes) => {
        const disk = newDrive().mount()
        const records = drawn.map(({ key, value, ms, deleted, expiresAtMs }) =>
          deleted ? tombstone(key, ms) : put(key, value, ms, expiresAtMs),
        )
        const { manifest } = await make(disk, 1, records, { piece, segmentBytes })
        expect(plain(await contentsOf(disk, manifest))).toEqual(plain(records))
        expect(await verify(disk, manifest.name)).toMatchObject({ records: records.length, damages: [] })
        expect(await readManifest(disk, manifest.name)).toEqual(manifest)
      },
    ),
    { numRuns: 40 },
  )
})

test('a backup that goes on from another one writes the slots that have changed, and refers to it for the rest', async () => {
  const disk = newDrive().mount()
  const first = await make(disk, 1, someRecords)
  const changed = someRecords.filter(({ key }) => !Buffer.from(key).equals(Buffer.from('key:7')))
  changed.push(put('key:3', 'anew', 3_000), put('new', 'one', 3_001))
  const now = [...new Map(changed.map((each) => [Buffer.from(each.key).toString(), each])).values()]
  const second = await make(disk, 2, now, { parent: first.manifest })
  expect(plain(await contentsOf(disk, second.manifest))).toEqual(plain(now))
  const touched = new Set(['key:7', 'key:3', 'new'].map((key) => slotOf(Buffer.from(key)) as number))
  const own = second.manifest.slots.filter(({ file }) => second.manifest.files[file!]!.backup === second.manifest.name)
  expect(own.every(({ slot }) => touched.has(slot))).toBe(true)
  expect(second.writer.written.records).toBe(own.reduce((sum, { records }) => sum + records, 0))
  // And a third that finds nothing new has no file of its own but the manifest.
  const third = await make(disk, 3, now, { parent: second.manifest, piece: 1 })
  expect(third.writer.written).toEqual({ records: 0, bytes: 0 })
  expect((await listBackups(disk)).at(-1)!.paths).toEqual([`${third.manifest.name}.manifest`])
  expect(plain(await contentsOf(disk, third.manifest))).toEqual(plain(now))
  expect(packedDigests(third.manifest)).toEqual(packedDigests(second.manifest))
  expect(await verify(disk, third.manifest.name)).toMatchObject({ damages: [] })
})

test('a backup keeps the floor of a slot, also of one that holds nothing', async () => {
  const disk = newDrive().mount()
  const floors = new Map([
    [slotOf(Buffer.from('gone')) as number, 1_500],
    [4_095, 1_600],
  ])
  const { manifest } = await make(disk, 1, someRecords, { floors })
  const next = await make(disk, 2, someRecords, { parent: manifest, floors })
  for (const each of [manifest, next.manifest]) {
    expect(each.slots.filter(({ floorMs }) => floorMs > 0).map(({ slot, floorMs }) => [slot, floorMs])).toEqual(
      [...floors].sort(([a], [b]) => a - b),
    )
  }
})

test('any byte of a backup flipped: a loud stop that names the file, never other records', async () => {
  const disk = newDrive().mount()
  const { manifest } = await make(disk, 1, someRecords.slice(0, 12), { segmentBytes: 300 })
  const paths = (await listBackups(disk))[0]!.paths
  expect(paths.length).toBeGreaterThan(2)
  for (const path of paths) {
    const bytes = await readFile(disk, path)
    for (const [offset, byte] of bytes.entries()) {
      await writeByte(disk, path, offset, byte ^ (1 << (offset % 8)))
      const damages = await damagesOf(disk, manifest.name)
      expect(
        damages.map((damage) => damage.path),
        `${path} at ${offset}`,
      ).toContain(path)
      await writeByte(disk, path, offset, byte)
    }
  }
  expect(await damagesOf(disk, manifest.name)).toEqual([])
}, 30_000)

async function damagesOf(disk: Disk, name: string): Promise<readonly BackupDamage[]> {
  const [entry] = await listBackups(disk)
  if (entry!.damage !== undefined) return [entry!.damage]
  return (await verify(disk, name)).damages
}

test('a segment that is missing, too short, too long or of another backup is named', async () => {
  const disk = newDrive().mount()
  const first = await make(disk, 1, someRecords)
  const second = await make(disk, 2, someRecords)
  const [path, other] = [first, second].map(({ manifest }) => `${manifest.name}.0001.segment`) as [string, string]
  const size = first.manifest.files[0]!.bytes
  for (const length of [size - 1, size + 1, 10]) {
    const file = await disk.open(path, 'write')
    await file.truncate(length)
    await file.close()
    expect((await listBackups(disk))[0]!.missing).toEqual([
      { path, found: `${length} bytes for ${size}`, isUnreadable: false },
    ])
    const { damages } = await verify(disk, first.manifest.name)
    expect(damages.map(({ message }) => message).join()).toContain(
      `${path} is damaged at byte ${Math.min(length, size)}`,
    )
  }
  await disk.rename(other, path)
  const { damages } = await verify(disk, first.manifest.name)
  expect(damages.map(({ message }) => message).join()).toContain(`segment 1 of backup ${originOf(2).id}`)
  expect((await listBackups(disk))[1]!.missing).toEqual([{ path: other, found: 'no such file', isUnreadable: false }])
  expect((await newestOf(disk)).manifest?.name).toBe(first.manifest.name)
})

test('cut off at any change of the disk, a backup is there as a whole or not at all', async () => {
  const later = [...someRecords, put('later', 'x', 9_000), put('latest', 'y', 9_001)]
  let complete = 0
  for (let after = 0; ; after++) {
    const drive = newDrive()
    const { manifest: parent } = await make(drive.mount(), 1, someRecords)
    let cut = false
    const stopped = new Promise<void>((resolve) => {
      const disk = cutAfter(drive.mount(), after, () => {
        cut = true
        drive.cutPower()
        resolve()
      })
      void make(disk, 2, later, { parent, segmentBytes: 200 }).then(() => resolve())
    })
    await stopped
    if (!cut) drive.cutPower()
    const disk = drive.mount()
    const entries = await listBackups(disk)
    expect(await verify(disk, parent.name)).toMatchObject({ damages: [] })
    const second = entries.find(({ name }) => name === originOf(2).name)
    if (second?.head !== undefined) {
      complete++
      expect(second.missing).toEqual([])
      expect(plain(await contentsOf(disk, (await readManifest(disk, second.name))!))).toEqual(plain(later))
    } else {
      expect(second?.damage).toBeUndefined()
      expect((await newestOf(disk)).manifest?.name).toBe(parent.name)
      if (second !== undefined) {
        await removeBackup(disk, second.name)
        expect((await listBackups(disk)).map(({ name }) => name)).toEqual([parent.name])
      }
    }
    if (!cut) break
  }
  // Only the very last changes come behind the manifest's name.
  expect(complete).toBe(1)
})

test('a backup that another one refers to is not removed', async () => {
  const disk = newDrive().mount()
  const first = await make(disk, 1, someRecords)
  const second = await make(disk, 2, [...someRecords, put('more', 'x', 9_000)], { parent: first.manifest })
  await expect(removeBackup(disk, first.manifest.name)).rejects.toThrow(`${second.manifest.name} needs what is in`)
  await removeBackup(disk, second.manifest.name)
  expect(await verify(disk, first.manifest.name)).toMatchObject({ damages: [] })
  await removeBackup(disk, first.manifest.name)
  expect(await disk.list('.')).toEqual([])
})

test('where a manifest cannot be read nobody knows what it refers to: nothing is removed but itself', async () => {
  const disk = newDrive().mount()
  const first = await make(disk, 1, someRecords)
  const second = await make(disk, 2, someRecords, { parent: first.manifest })
  await writeByte(disk, `${second.manifest.name}.manifest`, 100, 0)
  await expect(removeBackup(disk, first.manifest.name)).rejects.toThrow('cannot be read')
  await removeBackup(disk, second.manifest.name)
  await removeBackup(disk, first.manifest.name)
})

test('one that is abandoned leaves nothing', async () => {
  const disk = newDrive().mount()
  const { writer } = await make(disk, 1, someRecords)
  await removeBackup(disk, originOf(1).name)
  await writer.abandon()
  expect(await disk.list('.')).toEqual([])
})
