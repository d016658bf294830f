import { expect, test } from 'vitest'
import { type Epoch, emptyBytes, type KvError, limits, type Slot } from '../../base/index.js'
import { compareVersions } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import {
  type PageReply,
  type PageRequest,
  refusedWrite,
  wrongEpochPage,
  wrongEpochRead,
  wrongEpochWrite,
} from '../replicas/replica.js'
import { applied, record, type Scene, scene, version } from '../replication.test-support.js'
import { SlotRead, type SlotStretch } from '../transfer/slot-read.js'
import { Coordinator } from './coordinator.js'
import type { WriteResult } from './operations.js'

const key = Buffer.from('k')
const old = record('k', 'old', version(10))
const fresh = record('k', 'fresh', version(20))

interface Running<T> {
  value: T | undefined
  ended: boolean
  error: KvError | undefined
}

function running<T>(promise: Promise<T>): Running<T> {
  const state: Running<T> = { value: undefined, ended: false, error: undefined }
  promise.then(
    (value) => Object.assign(state, { value, ended: true }),
    (error: KvError) => Object.assign(state, { error, ended: true }),
  )
  return state
}

/** Lets promises that have settled tell so. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function coordinator(s: Scene): { node: Coordinator; adopt(): void } {
  const node = new Coordinator({ context: s.context, entries: () => 0, dataBytes: () => 0 }, s.routing)
  const adopt = (): void => {
    node.routing = { ...node.routing, epoch: (node.routing.epoch + 1) as Epoch }
  }
  return { node, adopt }
}

function put(s: Scene, node: Coordinator, forMs = 5_000): Running<WriteResult> {
  const options = { consistency: 'quorum', deadlineMs: s.clock.nowMs + forMs, returnPrevious: true } as const
  return running(node.put(key, Buffer.from('new'), options))
}

function get(s: Scene, node: Coordinator): Running<StoredRecord | undefined> {
  return running(node.get(key, { consistency: 'quorum', deadlineMs: s.clock.nowMs + 5_000 }))
}

test('a write under way when the topology changes goes out again as it is, and counts no answer from before', async () => {
  const s = scene()
  const { node, adopt } = coordinator(s)
  const write = put(s, node)
  s.replicas[0]!.writes[0]!.reply(applied())
  adopt()
  expect(s.replicas.map(({ writes }) => writes.length)).toEqual([2, 2, 2])
  const [first, again] = s.replicas[1]!.writes
  expect(again!.record).toBe(first!.record)
  // Late, and enough together with the first: but under two epochs.
  first!.reply(applied())
  s.replicas[2]!.writes[0]!.reply(applied())
  await settled()
  expect(write.ended).toBe(false)
  s.replicas[1]!.writes[1]!.reply(applied(again!.record))
  await settled()
  expect(write.ended).toBe(false)
  s.replicas[2]!.writes[1]!.reply(applied(again!.record))
  await settled()
  expect(write.error).toBeUndefined()
  expect(compareVersions(write.value!.version, first!.record)).toBe(0)
  expect(s.context.active.size).toBe(0)
})

test('a write that was sent before a change and fails after it may have been applied', async () => {
  const s = scene()
  const { node, adopt } = coordinator(s)
  const write = put(s, node)
  s.replicas[2]!.writes[0]!.reply(applied())
  adopt()
  for (const { writes } of s.replicas) writes[1]!.reply(refusedWrite('overloaded'))
  await settled()
  expect(write.error).toMatchObject({ code: 'overloaded', outcome: 'unknown' })
})

test('what owners had before a write is known also if the topology changed after they had told', async () => {
  const s = scene()
  const { node, adopt } = coordinator(s)
  const write = put(s, node)
  s.replicas[0]!.writes[0]!.reply(applied(old, true, old))
  adopt()
  const again = s.replicas[0]!.writes[1]!
  again.reply(applied(again.record, true))
  s.replicas[1]!.writes[1]!.reply(applied())
  await settled()
  expect(write.value).toMatchObject({ replacedKnown: true, existed: true, previous: old })
})

test('owners that know of the change before the coordinator are asked again until it knows; nothing fails', async () => {
  const s = scene()
  const { node, adopt } = coordinator(s)
  const write = put(s, node)
  const read = get(s, node)
  for (let round = 0; round < 40; round++) {
    for (const { writes, reads } of s.replicas) {
      for (const { reply } of writes.slice(-1)) reply(wrongEpochWrite)
      for (const { reply } of reads.slice(-1)) reply(wrongEpochRead)
    }
    s.clock.advance(limits.operationTickMs)
  }
  await settled()
  expect([write.ended, read.ended]).toEqual([false, false])
  // Not at each tick: the pauses grow.
  const asked = s.replicas[1]!.writes.length
  expect(asked).toBeGreaterThan(3)
  expect(asked).toBeLessThan(12)
  for (const replica of s.replicas) replica.automatic = true
  adopt()
  await settled()
  expect([write.error, read.error]).toEqual([undefined, undefined])
  expect([write.ended, read.ended]).toEqual([true, true])
})

test('a write that all owners refuse to take under this epoch until its deadline has certainly not been applied', async () => {
  const s = scene()
  const { node } = coordinator(s)
  const write = put(s, node, 100)
  for (let round = 0; round < 20; round++) {
    for (const { writes } of s.replicas) writes.at(-1)!.reply(wrongEpochWrite)
    s.clock.advance(limits.operationTickMs)
  }
  await settled()
  expect(write.error).toMatchObject({ code: 'timeout', outcome: 'not-applied' })
})

test('an owner that is behind costs a write nothing, and gets a hint', async () => {
  const s = scene()
  const { node } = coordinator(s)
  const write = put(s, node)
  s.replicas[0]!.writes[0]!.reply(applied())
  s.replicas[1]!.writes[0]!.reply(wrongEpochWrite)
  s.replicas[2]!.writes[0]!.reply(applied())
  await settled()
  expect(write.value?.acks).toBe(2)
  expect(s.context.hints.map(([id]) => id)).toEqual(['n1'])
})

test('an owner that follows in time takes the write at its second request, and counts', async () => {
  const s = scene()
  const { node } = coordinator(s)
  const write = put(s, node)
  s.replicas[1]!.writes[0]!.reply(wrongEpochWrite)
  s.replicas[2]!.writes[0]!.reply(refusedWrite('overloaded'))
  s.replicas[0]!.writes[0]!.reply(applied())
  await settled()
  expect(write.ended).toBe(false)
  s.clock.advance(2 * limits.askAgainMsMin)
  s.replicas[1]!.writes[1]!.reply(applied())
  await settled()
  expect(write.value?.acks).toBe(2)
})

test('a read that meets an owner of another epoch asks a spare one at once', async () => {
  const s = scene()
  const { node } = coordinator(s)
  for (const replica of s.replicas) replica.hold(fresh)
  const read = get(s, node)
  s.replicas[0]!.reads[0]!.answer()
  s.replicas[1]!.reads[0]!.reply(wrongEpochRead)
  s.replicas[2]!.reads[0]!.answer()
  await settled()
  expect(read.value).toBe(fresh)
})

test('a read begins anew when the topology changes: no answer and no write-back from before counts', async () => {
  const s = scene()
  const { node, adopt } = coordinator(s)
  s.replicas[0]!.hold(fresh)
  s.replicas[1]!.hold(old)
  const read = get(s, node)
  for (const i of [0, 1]) s.replicas[i]!.reads[0]!.answer()
  const repair = s.replicas[1]!.writes[0]!
  expect(repair.isRepair).toBe(true)
  adopt()
  repair.reply(applied())
  await settled()
  expect(read.ended).toBe(false)
  // Late answers of the attempt before: together they would be a quorum for what is old by now.
  for (const i of [0, 1]) s.replicas[i]!.reads[0]!.reply({ kind: 'held', version: old, record: old })
  await settled()
  expect(read.ended).toBe(false)
  for (const i of [0, 1]) s.replicas[i]!.hold(fresh)
  for (const i of [0, 1]) s.replicas[i]!.reads[1]!.answer()
  await settled()
  expect(read.value).toBe(fresh)
  expect(s.context.active.size).toBe(0)
})

test('a write-back that meets an owner of another epoch is made again', async () => {
  const s = scene()
  s.replicas[2]!.up = false
  const { node } = coordinator(s)
  s.replicas[0]!.hold(fresh)
  const read = get(s, node)
  for (const i of [0, 1]) s.replicas[i]!.reads[0]!.answer()
  s.replicas[1]!.writes[0]!.reply(wrongEpochWrite)
  await settled()
  expect(read.ended).toBe(false)
  s.replicas[1]!.automatic = true
  s.clock.advance(2 * limits.askAgainMsMin)
  await settled()
  expect(read.value).toBe(fresh)
  expect(s.replicas[1]!.held.size).toBe(1)
})

/** One stretch of the slot of `k`; what owners are asked waits in `asked`. */
function stretch(s: Scene): { read: Running<SlotStretch>; asked: [number, (reply: PageReply) => void][] } {
  const asked: [number, (reply: PageReply) => void][] = []
  for (const [i, replica] of s.replicas.entries()) {
    replica.page = (_request: PageRequest, waiter, position) => {
      asked.push([i, (reply) => waiter.pageReplied(position, reply)])
    }
  }
  const request = { slot: slotOf(key) as Slot, prefix: emptyBytes, after: emptyBytes, recordsMax: 10, bytesMax: 1_000 }
  const options = { consistency: 'quorum', deadlineMs: s.clock.nowMs + 5_000 } as const
  const read = running(
    new Promise<SlotStretch>((resolve, reject) => {
      new SlotRead(s.context, s.routing, request, options, { resolve, reject }).start()
    }),
  )
  return { read, asked }
}

function page(...records: StoredRecord[]): PageReply {
  return { kind: 'held', records, more: false, floorMs: 0 }
}

test('a stretch of a scan begins anew when the topology changes, and late pages do not count', async () => {
  const s = scene()
  const { read, asked } = stretch(s)
  s.context.active.reroute({ ...s.routing, epoch: 2 as Epoch })
  const [before, now] = [asked.slice(0, 2), asked.slice(2)]
  for (const [, reply] of before) reply(page(old))
  await settled()
  expect(read.ended).toBe(false)
  for (const [, reply] of now) reply(page(fresh))
  await settled()
  expect(read.value?.records).toEqual([fresh])
})

test('a stretch whose write-back was sent before the topology changed waits for one that was sent after', async () => {
  const s = scene()
  const { read, asked } = stretch(s)
  asked[0]![1](page(fresh))
  asked[1]![1](page())
  const repair = s.replicas[1]!.writes[0]!
  s.context.active.reroute({ ...s.routing, epoch: 2 as Epoch })
  repair.reply(applied())
  await settled()
  expect(read.ended).toBe(false)
  for (const [, reply] of asked.slice(2)) reply(page(fresh))
  await settled()
  expect(read.value?.records).toEqual([fresh])
})

test('a stretch asks owners of another epoch again, and makes write-backs to them again', async () => {
  const s = scene()
  s.replicas[2]!.up = false
  const { read, asked } = stretch(s)
  asked[0]![1](page(fresh))
  asked[1]![1](wrongEpochPage)
  await settled()
  expect(read.ended).toBe(false)
  s.clock.advance(2 * limits.askAgainMsMin)
  asked[2]![1](page())
  s.replicas[1]!.writes[0]!.reply(wrongEpochWrite)
  await settled()
  expect(read.ended).toBe(false)
  s.clock.advance(3 * limits.askAgainMsMin)
  s.replicas[1]!.writes[1]!.reply(applied())
  await settled()
  expect(read.value?.records).toEqual([fresh])
})
