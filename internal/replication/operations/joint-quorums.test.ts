import { describe, expect, test } from 'vitest'
import { type Epoch, emptyBytes, type KvError, limits, type Slot } from '../../base/index.js'
import type { StoredRecord } from '../../record/index.js'
import { type HandoverStep, type SlotTable, slotOf } from '../../slots/index.js'
import { refusedWrite } from '../replicas/replica.js'
import { applied, record, type Scene, scene, stale, version } from '../replication.test-support.js'
import { ownersOf, quorumsOf, restingQuorums, routingOf } from '../transfer/slot-quorums.js'
import { SlotRead, type SlotStretch } from '../transfer/slot-read.js'
import { Coordinator } from './coordinator.js'
import type { Consistency } from './operations.js'
import type { Routing } from './routing.js'

const key = Buffer.from('k')
const slot = slotOf(key)
const old = record('k', 'old', version(10))
const fresh = record('k', 'fresh', version(20))
const later = record('k', 'later', version(30))

function table(members: SlotTable['members'], ...owners: number[]): SlotTable {
  const list = Uint16Array.from(owners)
  return { members, ownersPerSlot: owners.length, owners: () => list } as unknown as SlotTable
}

/** Every slot moves from the nodes `from` to the nodes `to`; the coordinator is node 5, which owns nothing. */
function moving(
  step: HandoverStep,
  from: number[] = [0, 1, 2],
  to: number[] = [0, 1, 3],
): Scene & { routing: Routing } {
  const s = scene({ nodes: 6, self: 5 })
  const { members } = s.routing.table
  const [before, after] = [table(members, ...from), table(members, ...to)]
  const [reading, other] = step === 'both' ? [before, after] : [after, before]
  const quorums = { readQuorum: 2, writeQuorum: 2, otherReadQuorum: 2, otherWriteQuorum: 2 }
  const { epoch, self, replicas } = s.routing
  return { ...s, routing: routingOf({ epoch, self, replicas, table: reading, other, step, ...quorums }) }
}

interface Running<T> {
  value: T | undefined
  ended: boolean
  error: KvError | undefined
}

async function running<T>(promise: Promise<T>): Promise<Running<T>> {
  const state: Running<T> = { value: undefined, ended: false, error: undefined }
  promise.then(
    (value) => Object.assign(state, { value, ended: true }),
    (error: KvError) => Object.assign(state, { error, ended: true }),
  )
  await settled()
  return state
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function node(s: Scene): Coordinator {
  return new Coordinator({ context: s.context, entries: () => 0, dataBytes: () => 0 }, s.routing)
}

function put(s: Scene, consistency: Consistency = 'quorum') {
  const options = { consistency, deadlineMs: s.clock.nowMs + 5_000, returnPrevious: true } as const
  return running(node(s).put(key, Buffer.from('new'), options))
}

function get(s: Scene, consistency: Consistency = 'quorum') {
  return running(node(s).get(key, { consistency, deadlineMs: s.clock.nowMs + 5_000 }))
}

function answering(s: Scene, ...nodes: number[]): void {
  for (const i of nodes) s.replicas[i]!.automatic = true
}

describe.each(['both', 'switch'] as const)('in step %s', (step) => {
  test('a write goes to the owners of both sides, and needs a quorum of either', async () => {
    const s = moving(step)
    const write = await put(s)
    expect(s.replicas.map(({ writes }) => writes.length)).toEqual([1, 1, 1, 1, 0, 0])
    s.replicas[0]!.writes[0]!.reply(applied())
    s.replicas[2]!.writes[0]!.reply(applied())
    await settled()
    expect(write.ended).toBe(false) // of the owners to come only one has it
    s.replicas[3]!.writes[0]!.reply(applied())
    await settled()
    expect(write.value?.acks).toBe(3)
  })

  test('owners of both sides are asked first: two of them are enough to read, and to write', async () => {
    const s = moving(step, [2, 0, 1], [3, 0, 1])
    answering(s, 0, 1)
    for (const i of [0, 1]) s.replicas[i]!.hold(fresh)
    expect((await get(s)).value).toBe(fresh)
    expect(s.replicas.map(({ reads }) => reads.length)).toEqual([1, 1, 0, 0, 0, 0])
    expect((await put(s)).value?.acks).toBe(2)
  })

  test('any one node may be down', async () => {
    for (const down of [0, 1, 2, 3]) {
      const s = moving(step)
      answering(s, 0, 1, 2, 3)
      s.replicas[down]!.up = false
      s.replicas[down]!.automatic = false
      for (const replica of s.replicas) replica.hold(fresh)
      const write = await put(s)
      expect([down, write.error]).toEqual([down, undefined])
      const read = await get(s)
      expect([down, read.error, Buffer.from(read.value!.value).toString()]).toEqual([down, undefined, 'new'])
    }
  })

  test('a write that one side cannot take fails at once, and may be on the other', async () => {
    const s = moving(step, [0, 1, 2], [3, 4, 5])
    const write = await put(s)
    for (const i of [0, 1, 2]) s.replicas[i]!.writes[0]!.reply(applied())
    for (const i of [3, 4]) s.replicas[i]!.writes[0]!.reply(refusedWrite('overloaded'))
    await settled()
    expect(write.error).toMatchObject({ code: 'overloaded', outcome: 'unknown' })
  })

  test('what a read returns has settled on both sides', async () => {
    const s = moving(step, [0, 1, 2], [2, 3, 4])
    const reading = step === 'both' ? [0, 1, 2] : [2, 3, 4]
    for (const i of reading) s.replicas[i]!.hold(fresh)
    answering(s, 0, 1, 2, 3, 4)
    expect((await get(s)).value).toBe(fresh)
    for (const side of [
      [0, 1, 2],
      [2, 3, 4],
    ]) {
      const holders = side.filter((i) => s.replicas[i]!.held.size > 0)
      expect(holders.length).toBeGreaterThanOrEqual(2)
    }
  })

  test('level one is one of the side that is read, and level all is everybody', async () => {
    const s = moving(step, [0, 1, 2], [2, 3, 4])
    const [first, other] = step === 'both' ? [0, 4] : [4, 0]
    const one = await put(s, 'one')
    s.replicas[other]!.writes[0]!.reply(applied())
    await settled()
    expect(one.ended).toBe(false)
    s.replicas[first]!.writes[0]!.reply(applied())
    await settled()
    expect(one.ended).toBe(true)
    const all = await put(s, 'all')
    for (const i of [0, 1, 2, 3]) s.replicas[i]!.writes[1]!.reply(applied())
    await settled()
    expect(all.ended).toBe(false)
    s.replicas[4]!.writes[1]!.reply(applied())
    await settled()
    expect(all.value?.acks).toBe(5)
  })
})

test('what an owner to come has left over from earlier is not returned', async () => {
  const s = moving('both', [0, 1, 2], [0, 3, 4])
  for (const i of [0, 1, 2]) s.replicas[i]!.hold(fresh)
  for (const i of [3, 4]) s.replicas[i]!.hold(later)
  answering(s, 0, 1, 2, 3, 4)
  expect((await get(s)).value).toBe(fresh)
})

test('what is left over makes no write stale, and is not what it replaced; staleness of owners counts', async () => {
  const s = moving('both', [0, 1, 2], [0, 3, 4])
  const write = await put(s)
  for (const i of [3, 4]) s.replicas[i]!.writes[0]!.reply(stale(version(500)))
  for (const i of [0, 1]) s.replicas[i]!.writes[0]!.reply(applied(old, true, old))
  await settled()
  expect(write.value).toMatchObject({ acks: 2, replacedKnown: true, previous: old })
  const other = await put(s)
  s.replicas[3]!.writes[1]!.reply(applied(fresh, true, fresh))
  for (const i of [0, 1]) s.replicas[i]!.writes[1]!.reply(applied(old, true, old))
  s.replicas[4]!.writes[1]!.reply(applied(fresh, true, fresh))
  await settled()
  expect(other.value).toMatchObject({ previous: old })
  const beaten = await put(s)
  for (const i of [0, 1]) s.replicas[i]!.writes[2]!.reply(stale(version(500)))
  await settled()
  // Stamped again, above what was met.
  expect(s.replicas[0]!.writes[3]!.record.hi).toBeGreaterThanOrEqual(version(500).hi)
  expect(beaten.ended).toBe(false)
})

test('owners that a slot leaves have a say to the end: what they call stale is', async () => {
  const s = moving('switch', [0, 1, 2], [0, 3, 4])
  await put(s)
  for (const i of [1, 2]) s.replicas[i]!.writes[0]!.reply(stale(version(500)))
  expect(s.replicas[1]!.writes).toHaveLength(2)
})

test('slots whose owners stay have quorums of their own side only, also while a handover runs', () => {
  const { routing } = moving('both', [0, 1, 2], [2, 1, 0])
  expect(ownersOf(routing, slot)).toBe(routing.table.owners(slot))
  expect(quorumsOf(routing, slot)).toEqual(restingQuorums(routing))
})

function stretch(s: Scene): Promise<Running<SlotStretch>> {
  const request = { slot: slot as Slot, prefix: emptyBytes, after: emptyBytes, recordsMax: 2, bytesMax: 10_000 }
  const options = { consistency: 'quorum', deadlineMs: s.clock.nowMs + 5_000 } as const
  return running(
    new Promise<SlotStretch>((resolve, reject) => {
      new SlotRead(s.context, s.routing, request, options, { resolve, reject }).start()
    }),
  )
}

function named({ value }: Running<SlotStretch>): string[] {
  return value!.records.map((each: StoredRecord) => `${Buffer.from(each.key)}=${Buffer.from(each.value)}`)
}

test('a scan neither shows leftovers of owners to come nor ends where their pages do, and settles what it shows', async () => {
  const s = moving('both', [0, 1, 2], [3, 4, 5])
  answering(s, 0, 1, 2, 3, 4, 5)
  for (const i of [0, 1, 2]) s.replicas[i]!.hold(fresh, record('m', 'm', version(20)))
  for (const i of [3, 4, 5]) {
    // Three of them: a page of two is cut short before all that is to be found.
    s.replicas[i]!.hold(record('a', '', version(40)), record('b', '', version(40)), record('c', '', version(40)))
  }
  const read = await stretch(s)
  expect(named(read)).toEqual(['k=fresh', 'm=m'])
  expect(read.value!.more).toBe(false)
  const holders = [3, 4, 5].filter((i) => s.replicas[i]!.held.has(Buffer.from('k').toString('hex')))
  expect(holders.length).toBeGreaterThanOrEqual(2)
})

test('who only came has told nothing of what a write replaced, though it is read when the record is sent again', async () => {
  const s = moving('both')
  const coordinator = node(s)
  const options = { consistency: 'quorum', deadlineMs: s.clock.nowMs + 5_000, returnPrevious: true } as const
  const write = await running(coordinator.put(key, Buffer.from('new'), options))
  for (const i of [0, 3]) s.replicas[i]!.writes[0]!.reply(applied())
  const { epoch } = s.routing
  coordinator.routing = { ...moving('switch').routing, epoch: (epoch + 1) as Epoch, replicas: s.routing.replicas }
  // What was acknowledged before is on 1 and 2, and 3 has merged it meanwhile.
  for (const i of [0, 2, 3]) s.replicas[i]!.writes[1]!.reply(applied(s.replicas[i]!.writes[1]!.record, true))
  s.clock.advance(limits.replacedWaitMs + limits.operationTickMs)
  await settled()
  expect(write.value).toMatchObject({ replacedKnown: false, existed: false })
})
