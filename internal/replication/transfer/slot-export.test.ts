import { expect, test } from 'vitest'
import { emptyBytes, type Slot } from '../../base/index.js'
import { hash64 } from '../../hash/index.js'
import type { StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import type { Digest } from '../../store/index.js'
import { record, type Scene, scene, version } from '../replication.test-support.js'
import { type ExportedSlot, exportPage } from './slot-export.js'

/** Every replica answers for its own records of a slot only. */
function bySlots(s: Scene): void {
  for (const replica of s.replicas) {
    replica.automatic = true
    replica.page = (request, waiter, position) => {
      const own = [...replica.held.values()]
        .filter(({ key }) => slotOf(key) === request.slot)
        .filter(({ key }) => request.after.length === 0 || Buffer.compare(key, request.after) > 0)
        .sort((a, b) => Buffer.compare(a.key, b.key))
      const records = own.slice(0, Math.max(1, Math.min(request.recordsMax, Math.floor(request.bytesMax / 25))))
      const more = records.length < own.length
      waiter.pageReplied(position, { kind: 'held', records, more, floorMs: replica.floorMs })
    }
  }
}

async function exportAll(s: Scene, bytesMax: number, known: (slot: Slot) => Digest | undefined = () => undefined) {
  const found: ExportedSlot[] = []
  const options = { consistency: 'quorum' as const, deadlineMs: 600_000 }
  let [slot, after]: [number, Uint8Array] = [0, emptyBytes]
  while (slot < 4_096) {
    const request = { slot: slot as Slot, after, known, bytesMax }
    const page = await exportPage(s.context, () => s.routing, request, options, 1)
    expect(page.slots[0]!.slot).toBe(slot)
    found.push(...page.slots)
    ;({ slot, after } = page.next)
  }
  return found
}

function digestOf(records: readonly StoredRecord[]): Digest {
  const sum = { hi: 0, lo: 0 }
  const hash = { hi: 0, lo: 0 }
  for (const { key, hi, lo, node } of records) {
    hash64(key, hi, lo, node, hash)
    sum.hi = (sum.hi ^ hash.hi) >>> 0
    sum.lo = (sum.lo ^ hash.lo) >>> 0
  }
  return sum
}

const keysOf = (slots: readonly ExportedSlot[]): string[] =>
  slots.flatMap(({ records }) => records.map(({ key }) => Buffer.from(key).toString()))

test('an export has what any read quorum would see: the newest of each key, tombstones and what has expired included', async () => {
  const s = scene()
  bySlots(s)
  const [a, b, c, d] = s.replicas
  const newest = [
    record('one', 'newer', version(20)),
    record('two', undefined, version(30)),
    record('three', 'x', version(10), 1),
  ]
  // Acknowledged by two of three each; the third has missed it.
  for (const replica of [a!, b!]) replica.hold(newest[0]!, record('two', 'older', version(10)))
  c!.hold(record('one', 'older', version(10)), newest[1]!, newest[2]!)
  b!.hold(newest[1]!, newest[2]!)
  expect(d).toBeUndefined()
  const found = (await exportAll(s, 1_000)).flatMap(({ records }) => records)
  expect(found).toHaveLength(3)
  for (const each of newest) expect(found).toContainEqual(each)
})

test('a slot that is larger than a page comes in several, and every key once', async () => {
  const s = scene()
  bySlots(s)
  const keys: string[] = []
  for (let i = 0; keys.length < 12; i++) if (slotOf(Buffer.from(`k${i}`)) < 8) keys.push(`k${i}`)
  for (const key of keys) for (const replica of s.replicas) replica.hold(record(key, 'v', version(10)))
  const found = await exportAll(s, 30)
  expect(keysOf(found).sort()).toEqual([...keys].sort())
  expect(found.some(({ more }) => more)).toBe(true)
})

test('of a slot that the caller has already nothing is told, and of one that has changed everything', async () => {
  const s = scene()
  bySlots(s)
  const records = ['one', 'two', 'three'].map((key) => record(key, 'v', version(10)))
  for (const replica of s.replicas) replica.hold(...records)
  const before = await exportAll(s, 1_000)
  const digests = new Map(before.map(({ slot, records: held }) => [slot, digestOf(held)]))
  const again = await exportAll(s, 1_000, (slot) => digests.get(slot))
  expect(again.every(({ unchanged, records: held }) => unchanged && held.length === 0)).toBe(true)
  for (const replica of s.replicas) replica.hold(record('two', 'w', version(11)))
  const third = await exportAll(s, 1_000, (slot) => digests.get(slot))
  const changed = third.filter(({ unchanged }) => !unchanged)
  expect(changed.map(({ slot }) => slot)).toEqual([slotOf(Buffer.from('two'))])
  expect(keysOf(changed)).toEqual(['two'])
})

test('what one owner has collected and another still holds is not in it: it is deleted', async () => {
  const s = scene()
  bySlots(s)
  const [a, b, c] = s.replicas
  for (const replica of [a!, b!]) replica.floorMs = 40
  c!.hold(record('gone', 'v', version(30)))
  c!.up = true
  a!.up = false
  const found = await exportAll(s, 1_000)
  expect(keysOf(found)).toEqual([])
  expect(found[slotOf(Buffer.from('gone'))]).toMatchObject({ floorMs: 40 })
})

test('values that are too large for one message together come on several pages', async () => {
  const s = scene()
  bySlots(s)
  for (let i = 0; i < 40; i++)
    for (const replica of s.replicas) replica.hold(record(`big${i}`, 'x'.repeat(900), version(10)))
  const options = { consistency: 'quorum' as const, deadlineMs: 600_000 }
  let [slot, after]: [number, Uint8Array] = [0, emptyBytes]
  let count = 0
  while (slot < 4_096) {
    const request = { slot: slot as Slot, after, known: () => undefined, bytesMax: 1_000 }
    const page = await exportPage(s.context, () => s.routing, request, options, 1)
    const records = page.slots.flatMap((each) => each.records)
    expect(records.length).toBeLessThanOrEqual(1)
    count += records.length
    slot = page.next.slot
    after = page.next.after
  }
  expect(count).toBe(40)
})
