import fc from 'fast-check'
import { expect, test } from 'vitest'
import { emptyBytes, limits } from '../../base/index.js'
import { compareVersions } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import type { PageRequest } from '../replicas/replica.js'
import { nameOf, record, type Scene, scene, version } from '../replication.test-support.js'
import { scanPage } from './scan.js'

/** Gives each scripted replica the slots that the real one would have. */
function onlyOwnSlot(s: Scene): void {
  for (const replica of s.replicas) {
    replica.automatic = true
    const page = replica.page.bind(replica)
    replica.page = (request: PageRequest, waiter, position) => {
      page(
        { ...request, recordsMax: Number.MAX_SAFE_INTEGER },
        {
          pageReplied: (at, reply) => {
            const own = reply.records.filter(({ key }) => slotOf(key) === request.slot)
            const records = own.slice(0, request.recordsMax)
            waiter.pageReplied(at, {
              kind: 'held',
              records,
              more: records.length < own.length,
              floorMs: replica.floorMs,
            })
          },
        },
        position,
      )
    }
  }
}

/** Every page takes a while: the clock moves with each request. */
function makeSlow(s: Scene, eachMs: number): void {
  for (const replica of s.replicas) {
    const page = replica.page.bind(replica)
    replica.page = (request, waiter, position) => {
      s.clock.nowMs += eachMs
      page(request, waiter, position)
    }
  }
}

/** Lets the event loop of the scene turn until `promise` is settled. Returns how often something else had a turn. */
async function turning<T>(s: Scene, promise: Promise<T>): Promise<{ result: T; turns: number }> {
  let settled = false
  const end = (): void => {
    settled = true
  }
  promise.then(end, end)
  let turns = 0
  for (; turns < 100_000 && !settled; turns++) {
    s.clock.advance(0)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { result: await promise, turns }
}

async function scanAll(s: Scene, pageSize: number, prefix = ''): Promise<StoredRecord[]> {
  const all: StoredRecord[] = []
  let cursor: Uint8Array = emptyBytes
  const options = { consistency: 'quorum' as const, deadlineMs: 60_000, prefix: Buffer.from(prefix), pageSize }
  for (let pages = 0; pages < 10_000; pages++) {
    const page = await scanPage(s.context, () => s.routing, { ...options, cursor }, 0.25)
    expect(page.records.length).toBeLessThanOrEqual(pageSize)
    all.push(...page.records)
    cursor = page.cursor
    if (cursor.length === 0) return all
  }
  throw new Error('the scan does not end')
}

test('a scan returns the newest live record of every key once, whatever each replica has missed', async () => {
  const write = fc.record({
    key: fc.integer({ min: 0, max: 40 }),
    ms: fc.integer({ min: 1, max: 50 }),
    deleted: fc.boolean(),
    on: fc.constantFrom([0, 1], [0, 2], [1, 2], [0, 1, 2]),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(write, { maxLength: 60 }), fc.integer({ min: 1, max: 7 }), async (writes, pageSize) => {
      const s = scene()
      onlyOwnSlot(s)
      const expected = new Map<string, StoredRecord>()
      for (const [index, { key, ms, deleted, on }] of writes.entries()) {
        const each = record(`key:${key}`, deleted ? undefined : `v${index}`, version(ms, index + 1))
        for (const i of on) {
          const held = s.replicas[i]!.held.get(nameOf(each.key))
          if (held === undefined || compareVersions(each, held) > 0) s.replicas[i]!.hold(each)
        }
        const known = expected.get(nameOf(each.key))
        if (known === undefined || compareVersions(each, known) > 0) expected.set(nameOf(each.key), each)
      }
      const found = await scanAll(s, pageSize)
      const live = [...expected.values()].filter(({ tombstone }) => !tombstone)
      const text = (r: StoredRecord): string => `${nameOf(r.key)}=${Buffer.from(r.value).toString()}`
      expect(found.map(text).sort()).toEqual(live.map(text).sort())
      // What was returned has settled: every read quorum meets it from now on.
      for (const each of found) {
        const holders = s.replicas.filter(({ held }) => held.get(nameOf(each.key))?.value === each.value)
        expect(holders.length).toBeGreaterThanOrEqual(2)
      }
    }),
    { numRuns: 25 },
  )
})

test('a scan returns nothing before a read quorum holds it', async () => {
  const s = scene()
  onlyOwnSlot(s)
  const old = record('user:1', 'old', version(1))
  for (const replica of s.replicas) replica.hold(old)
  s.replicas[0]!.hold(record('user:1', 'new', version(2)))
  const waiting: (() => void)[] = []
  for (const replica of s.replicas) {
    const write = replica.write.bind(replica)
    replica.write = (...sent) => void waiting.push(() => write(...sent))
  }
  let found: StoredRecord[] | undefined
  const scanning = scanAll(s, 10).then((records) => {
    found = records
  })
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
  }
  await turns()
  expect(waiting.length).toBeGreaterThan(0)
  expect(found).toBeUndefined()
  for (const write of waiting.splice(0)) write()
  await scanning
  expect(found!.map(({ value }) => Buffer.from(value).toString())).toEqual(['new'])
})

test('a scan takes a purged record and its expired value for the same write, and brings neither anywhere', async () => {
  for (const purgedOn of [[0], [1], [0, 1]]) {
    const s = scene()
    onlyOwnSlot(s)
    const value = record('user:1', 'a', version(1), 1)
    const purged = { ...value, tombstone: true, value: emptyBytes }
    for (const [i, replica] of s.replicas.entries()) {
      replica.hold(purgedOn.includes(i) ? purged : value, record('user:2', 'b', version(2)))
    }
    expect((await scanAll(s, 10)).map(({ key }) => Buffer.from(key).toString())).toEqual(['user:2'])
    expect(s.replicas.map(({ writes }) => writes.length)).toEqual([0, 0, 0])
  }
})

test('a scan returns only keys with the prefix', async () => {
  const s = scene()
  onlyOwnSlot(s)
  for (const replica of s.replicas) {
    replica.hold(record('user:1', 'a', version(1)), record('user:2', 'b', version(2)), record('use', 'c', version(3)))
  }
  const keys = (await scanAll(s, 10, 'user:')).map(({ key }) => Buffer.from(key).toString())
  expect(keys.sort()).toEqual(['user:1', 'user:2'])
})

test.each([
  ['of another kind', [9, 0, 0, 0, 0, 0, 0]],
  ['cut short', [2, 0, 0, 0, 0, 0]],
  ['of a slot that does not exist', [2, 0, 0x10, 0, 0, 0, 0]],
  ['of a scan with another prefix', [2, 0, 0, 1, 0, 0, 0]],
])('a cursor %s is refused', async (_, bytes) => {
  const s = scene()
  const options = { consistency: 'quorum' as const, deadlineMs: 60_000, prefix: emptyBytes, pageSize: 10 }
  const page = scanPage(s.context, () => s.routing, { ...options, cursor: Uint8Array.from(bytes) }, 1)
  await expect(page).rejects.toMatchObject({ code: 'invalid-argument', field: 'cursor' })
})

test('a scan without a quorum for some slot fails', async () => {
  const s = scene()
  onlyOwnSlot(s)
  s.replicas[1]!.up = false
  s.replicas[2]!.up = false
  await expect(scanAll(s, 10)).rejects.toMatchObject({ code: 'unavailable' })
})

test('a scan that finds nothing for long gives back how far it came, and the next goes on from there', async () => {
  const s = scene()
  onlyOwnSlot(s)
  makeSlow(s, 1)
  let cursor: Uint8Array = emptyBytes
  let requests = 0
  do {
    const deadlineMs = s.clock.nowMs + 1_000
    const options = { consistency: 'quorum' as const, deadlineMs, prefix: Buffer.from('rare'), pageSize: 1, cursor }
    const { result: page } = await turning(
      s,
      scanPage(s.context, () => s.routing, options, 10),
    )
    expect(s.clock.nowMs).toBeLessThan(deadlineMs)
    cursor = page.cursor
    requests++
  } while (cursor.length > 0 && requests < 100)
  expect(requests).toBeGreaterThan(1)
  expect(requests).toBeLessThan(30)
})

test('where slots take long to read, a page ends before its client gives up on the node, with what it has', async () => {
  const s = scene()
  onlyOwnSlot(s)
  makeSlow(s, 10)
  const options = { consistency: 'quorum' as const, deadlineMs: s.clock.nowMs + 60_000, prefix: emptyBytes }
  let cursor: Uint8Array = emptyBytes
  for (let i = 0; i < 3; i++) {
    const startMs = s.clock.nowMs
    const { result: page } = await turning(
      s,
      scanPage(s.context, () => s.routing, { ...options, pageSize: 4_096, cursor }, 0.25),
    )
    expect(s.clock.nowMs - startMs).toBeLessThan(1_000)
    expect(page.cursor).not.toEqual(cursor)
    cursor = page.cursor
  }
})

test('however many scans there are, and whoever answers at once: the event loop turns, and each of them comes forward', async () => {
  const s = scene()
  onlyOwnSlot(s)
  makeSlow(s, 1)
  const options = { consistency: 'quorum' as const, deadlineMs: s.clock.nowMs + 60_000, prefix: Buffer.from('rare') }
  const request = { ...options, pageSize: 1, cursor: emptyBytes }
  const scans = Array.from({ length: 40 }, () => scanPage(s.context, () => s.routing, request, 10))
  const lates: number[] = []
  const watch = (): void => {
    const dueMs = s.clock.nowMs + 1
    s.clock.setTimer(1, () => {
      lates.push(s.clock.nowMs - dueMs)
      watch()
    })
  }
  watch()
  const { result: pages } = await turning(s, Promise.all(scans))
  for (const { cursor } of pages) expect(cursor).not.toEqual(emptyBytes)
  s.clock.advance(0)
  // A tick, its delay, and what one scan asks three replicas for at a time.
  expect(Math.max(...lates)).toBeLessThan(15 + 3 * limits.scanSlotsMax)
})
