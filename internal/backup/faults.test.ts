import { expect, test } from 'vitest'
import { DiskError } from '../env/index.js'
import { encodeRecords } from '../record/index.js'
import { slotCount } from '../slots/index.js'
import { bySlot, hooked, make, newDrive, originOf, put } from './backup.test-support.js'
import { BackupWriter, listBackups, newestOf, readManifest, removeBackup, verifyBackup } from './index.js'

const someRecords = Array.from({ length: 40 }, (_, i) => put(`key:${i}`, `value ${i}`, 1_000 + i))
const nameOfBackup = (number: number): string => originOf(number).name

test('a backup whose name cannot be made durable leaves nothing, also no manifest without segments', async () => {
  const disk = newDrive().mount()
  await disk.makeDirectory('.')
  let renamed = false
  let failed = 0
  const failing = hooked(disk, (operation, path) => {
    if (operation === 'rename') renamed = true
    if (operation !== 'syncDirectory' || !renamed || failed++ > 0) return
    throw new DiskError('io', 'syncDirectory', path)
  })
  const writer = new BackupWriter(failing, originOf(1), undefined)
  for (const [slot, records] of bySlot(someRecords)) await writer.add(slot, encodeRecords(records), 0)
  await expect(writer.finish(1, { from: 1n, to: 1n })).rejects.toThrow('what was written may be lost')
  await writer.abandon()
  expect(failed).toBeGreaterThan(0)
  expect(await disk.list('.')).toEqual([])
})

test('a backup that is removed just before one that refers to it is there: that one is refused', async () => {
  for (const moment of ['before the manifest', 'behind the manifest'] as const) {
    const disk = newDrive().mount()
    const { manifest: parent } = await make(disk, 1, someRecords)
    let removed = false
    const remove = async (): Promise<void> => {
      if (removed) return
      removed = true
      // Behind the manifest whoever removes has looked before it was there.
      if (moment === 'before the manifest') await removeBackup(disk, parent.name)
      else for (const path of await disk.list('.')) if (path.startsWith(parent.name)) await disk.remove(path)
    }
    const racing = hooked(disk, async (operation, path) => {
      if (operation === (moment === 'before the manifest' ? 'rename' : 'list') && path !== parent.name) await remove()
    })
    const writer = new BackupWriter(racing, originOf(2), parent)
    for (let slot = 0; slot < slotCount; slot++) await writer.refer(slot)
    await expect(writer.finish(1, { from: 1n, to: 1n }), moment).rejects.toThrow('cannot be had any more')
    await writer.abandon()
    expect(await disk.list('.')).toEqual([])
  }
})

test('a backup that is found to be needed while it is removed stays', async () => {
  const disk = newDrive().mount()
  const { manifest: parent } = await make(disk, 1, someRecords)
  const racing = hooked(disk, async (operation) => {
    if (operation === 'rename' && !(await disk.list('.')).includes(`${nameOfBackup(2)}.manifest`)) {
      await make(disk, 2, someRecords, { parent })
    }
  })
  await expect(removeBackup(racing, parent.name)).rejects.toThrow(`${nameOfBackup(2)} needs what is in`)
  for (const name of [1, 2].map(nameOfBackup)) {
    expect((await verifyBackup(disk, (await readManifest(disk, name))!)).damages).toEqual([])
  }
})

test('a segment that cannot be read is named, and all the others are checked all the same', async () => {
  const disk = newDrive().mount()
  const { manifest } = await make(disk, 1, someRecords, { segmentBytes: 300 })
  expect(manifest.files.length).toBeGreaterThan(3)
  const bad = [`${manifest.name}.0001.segment`, `${manifest.name}.0003.segment`]
  for (const failing of ['open', 'read'] as const) {
    const unreadable = hooked(disk, (operation, path) => {
      if (operation === failing && bad.includes(path)) throw new DiskError('io', operation, path, new Error('EIO'))
    })
    const { damages, slots, records } = await verifyBackup(unreadable, manifest)
    expect(new Set(damages.map(({ path }) => path))).toEqual(new Set(bad))
    expect(damages[0]!.message).toContain('EIO')
    const lost = manifest.slots.filter(({ slot }) => slots.has(slot)).reduce((sum, place) => sum + place.records, 0)
    expect(records + lost).toBe(someRecords.length)
    expect(lost).toBeGreaterThan(0)
    expect(records).toBeGreaterThan(0)
  }
})

test('of a thousand backups only the newest is read to go on from, and no slots are kept to list them', async () => {
  const disk = newDrive().mount()
  let { manifest } = await make(disk, 1, someRecords)
  for (let i = 2; i < 8; i++) ({ manifest } = await make(disk, i, someRecords, { parent: manifest }))
  const opened: string[] = []
  const counting = hooked(disk, (operation, path) => void (operation === 'open' && opened.push(path)))
  expect((await newestOf(counting)).manifest).toEqual(manifest)
  expect(opened).toEqual([`${manifest.name}.manifest`, `${nameOfBackup(1)}.0001.segment`])
  const entries = await listBackups(disk)
  expect(entries).toHaveLength(7)
  expect(entries.some(({ head }) => head === undefined || 'slots' in head)).toBe(false)
  expect(entries.every(({ totals }) => totals?.records === someRecords.length)).toBe(true)
})

test('slots that a directory of backups shares are read once to verify all of them, and each tells of the same damage', async () => {
  const large = someRecords.map((record) => ({ ...record, value: Buffer.alloc(100_000, 'x') }))
  const disk = newDrive().mount()
  const { manifest: first } = await make(disk, 1, large)
  const { manifest: second } = await make(disk, 2, [...large, put('later', 'x', 9_000)], { parent: first })
  let reads = 0
  const counting = hooked(disk, (operation, path) => {
    if (operation === 'read' && path.endsWith('.segment')) reads++
  })
  const place = first.slots.at(-1)!
  const file = await disk.open(`${first.name}.0001.segment`, 'write')
  await file.write(Uint8Array.of(255), place.offset + place.bytes - 1)
  await file.close()
  const known = new Map()
  for (const manifest of [first, second]) {
    const alone = await verifyBackup(disk, manifest)
    const { damages, slots } = await verifyBackup(counting, manifest, { known })
    expect([...slots]).toEqual([place.slot])
    expect(damages.map(({ message }) => message)).toEqual(alone.damages.map(({ message }) => message))
  }
  const together = reads
  reads = 0
  for (const manifest of [first, second]) await verifyBackup(counting, manifest)
  expect(reads).toBeGreaterThan(together)
})
