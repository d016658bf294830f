import { describe, expect, test } from 'vitest'
import type { KvError, Slot } from '../../base/index.js'
import type { StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import type { CommitResult, CommitWaiter, Store } from '../../store/index.js'
import type { Consistency, WriteResult } from '../operations/operations.js'
import { ReadOperation } from '../operations/read-operation.js'
import { WriteOperation } from '../operations/write-operation.js'
import { LocalReplica } from '../replicas/local-replica.js'
import {
  lostWrite,
  type PageReply,
  type ReadReply,
  refillingPage,
  refillingRead,
  refillingWrite,
} from '../replicas/replica.js'
import { applied, record, type Scene, scene, stale, version } from '../replication.test-support.js'
import { SlotRead } from './slot-read.js'

const key = Buffer.from('k')
const slot = slotOf(key)
const lost: ReadonlySet<number> = new Set([slot])
const fresh = record('k', 'fresh', version(20))

interface Ended<T> {
  result: T | undefined
  error: KvError | undefined
}

function settlerOf<T>(end: Ended<T>) {
  return {
    resolve: (result: T) => {
      end.result = result
    },
    reject: (error: KvError) => {
      end.error = error
    },
    trace: undefined,
    hold: () => true,
  }
}

function write({ context, routing }: Scene, consistency: Consistency = 'quorum'): Ended<WriteResult> {
  const end: Ended<WriteResult> = { result: undefined, error: undefined }
  const intent = { key, value: Buffer.from('new'), tombstone: false, expiresAtMs: 0, returnPrevious: false }
  new WriteOperation(context, routing, slot, intent, { consistency, deadlineMs: 6_000 }, settlerOf(end)).start()
  return end
}

function read({ context, routing }: Scene, consistency: Consistency = 'quorum'): Ended<StoredRecord | undefined> {
  const end: Ended<StoredRecord | undefined> = { result: undefined, error: undefined }
  new ReadOperation(context, routing, slot, key, { consistency, deadlineMs: 6_000 }, settlerOf(end)).start(
    context.clock.monotonicMs(),
  )
  return end
}

function scanSlot({ context, routing }: Scene): Ended<unknown> {
  const end: Ended<unknown> = { result: undefined, error: undefined }
  const request = { slot, prefix: new Uint8Array(0), after: new Uint8Array(0), recordsMax: 100, bytesMax: 1_000_000 }
  const options = { consistency: 'quorum' as const, deadlineMs: 6_000 }
  new SlotRead(context, routing, request, options, settlerOf(end)).start()
  return end
}

describe('an owner that has lost the slot', () => {
  test('does not count toward a write, which may yet come to light through it', () => {
    const s = scene()
    const end = write(s)
    s.replicas[0]!.writes[0]!.reply(applied())
    s.replicas[1]!.writes[0]!.reply(refillingWrite)
    expect(end).toEqual({ result: undefined, error: undefined })
    s.replicas[2]!.writes[0]!.reply(lostWrite)
    expect(end.error).toMatchObject({ code: 'unavailable', outcome: 'unknown' })
    expect(end.error?.message).toContain(`slot ${slot} is lost and being refilled on 1 of 3 owners`)
  })

  test('leaves the outcome open where it alone took the write', () => {
    const s = scene({ nodes: 1, r: 1, w: 1 })
    const end = write(s)
    s.replicas[0]!.writes[0]!.reply(refillingWrite)
    expect(end.error).toMatchObject({ code: 'unavailable', outcome: 'unknown' })
    expect(end.error?.message).toMatch(/lost on its only owner.*--accept-loss/)
  })

  test('and is known to have, is not counted on: a write that cannot get its quorum is not sent', () => {
    const s = scene()
    s.replicas[0]!.lost = true
    s.replicas[1]!.up = false
    const end = write(s)
    expect(end.error).toMatchObject({ code: 'unavailable', outcome: 'not-applied' })
    expect(s.replicas.every(({ writes }) => writes.length === 0)).toBe(true)
  })

  test('gets the write all the same where the others are enough', () => {
    const s = scene()
    s.replicas[0]!.lost = true
    const end = write(s)
    expect(s.replicas[0]!.writes).toHaveLength(1)
    for (const replica of s.replicas.slice(1)) replica.writes[0]!.reply(applied())
    expect(end.result?.acks).toBe(2)
  })

  test('a stale answer beside it still lets the write be stamped again', () => {
    const s = scene()
    const end = write(s)
    s.replicas[0]!.writes[0]!.reply(refillingWrite)
    s.replicas[1]!.writes[0]!.reply(applied())
    s.replicas[2]!.writes[0]!.reply(stale(version(5_000)))
    for (const replica of s.replicas.slice(1)) replica.writes[1]!.reply(applied())
    expect(end.result?.acks).toBe(2)
  })

  test.each(['one', 'quorum'] as const)('is passed over by a read at level %s', (level) => {
    const s = scene()
    for (const replica of s.replicas.slice(1)) {
      replica.hold(fresh)
      replica.automatic = true
    }
    const end = read(s, level)
    s.replicas[0]!.reads[0]!.reply(refillingRead)
    expect(end.result).toEqual(fresh)
  })

  test('is no holder of what a read brings to it', () => {
    const s = scene()
    s.replicas[1]!.hold(fresh)
    s.replicas[2]!.up = false
    const end = read(s)
    s.replicas[0]!.reads[0]!.answer()
    s.replicas[1]!.reads[0]!.answer()
    s.replicas[1]!.reads[1]!.answer()
    s.replicas[0]!.writes[0]!.reply(refillingWrite)
    expect(end.error?.message).toMatch(/1 of 3 replicas answered, 2 are needed; slot \d+ is lost/)
  })

  test('is passed over by a scan, which fails where the others are too few', () => {
    const s = scene()
    s.replicas[0]!.page = (_, waiter, position) => waiter.pageReplied(position, refillingPage)
    for (const replica of s.replicas.slice(1)) replica.hold(fresh)
    expect(scanSlot(s).result).toMatchObject({ records: [fresh], more: false })
    s.replicas[1]!.up = false
    expect(scanSlot(s).error?.message).toContain('is lost and being refilled on 1 of 3 owners')
  })
})

describe('an operation that has counted an answer of an earlier life', () => {
  test('of a write fails instead of meeting its quorum with it, and only in the lost slots', () => {
    const s = scene()
    const end = write(s)
    s.replicas[0]!.writes[0]!.reply(applied())
    s.context.active.forget(s.replicas[0]!, new Set([(slot + 1) % 4096]))
    s.context.active.forget(s.replicas[1]!, lost)
    expect(end.error).toBeUndefined()
    s.context.active.forget(s.replicas[0]!, lost)
    expect(end.error).toMatchObject({ code: 'unavailable', outcome: 'unknown' })
    s.replicas[1]!.writes[0]!.reply(applied())
    expect(end.result).toBeUndefined()
  })

  test('that the replica did not answer, or did not apply, goes on', () => {
    const s = scene()
    const end = write(s)
    s.replicas[0]!.writes[0]!.reply(lostWrite)
    s.context.active.forget(s.replicas[0]!, lost)
    for (const replica of s.replicas.slice(1)) replica.writes[0]!.reply(applied())
    expect(end.result?.acks).toBe(2)
  })

  test('of a read fails, also where the answer was to a write-back', () => {
    const s = scene()
    s.replicas[0]!.hold(fresh)
    const end = read(s)
    s.replicas[0]!.reads[0]!.answer()
    s.context.active.forget(s.replicas[1]!, lost)
    expect(end.error).toBeUndefined()
    s.context.active.forget(s.replicas[0]!, lost)
    expect(end.error?.code).toBe('unavailable')
    const third = scene({ r: 1, w: 3 })
    third.replicas[0]!.hold(fresh)
    const other = read(third)
    for (const replica of third.replicas) replica.reads[0]!.answer()
    third.replicas[1]!.writes[0]!.reply(applied())
    third.context.active.forget(third.replicas[1]!, lost)
    expect(other.error?.code).toBe('unavailable')
  })

  test('of a scan fails', () => {
    const s = scene()
    s.replicas[1]!.page = () => undefined
    const end = scanSlot(s)
    s.context.active.forget(s.replicas[1]!, lost)
    s.context.active.forget(s.replicas[0]!, new Set([slot + 1]))
    expect(end.error).toBeUndefined()
    s.context.active.forget(s.replicas[0]!, lost)
    expect(end.error?.code).toBe('unavailable')
  })
})

test('a quorum that comes about after the deadline is none, though no timer has fired yet', () => {
  const s = scene()
  const [writing, reading] = [write(s), read(s)]
  s.replicas[0]!.writes[0]!.reply(applied())
  s.replicas[0]!.reads[0]!.answer()
  const scene2 = scene()
  let answer: (() => void) | undefined
  const page = scene2.replicas[1]!.page.bind(scene2.replicas[1])
  scene2.replicas[1]!.page = (request, waiter, position) => {
    answer = () => page(request, waiter, position)
  }
  const scanning = scanSlot(scene2)
  // As after SIGSTOP: time has passed, and what came meanwhile is handled first.
  s.clock.nowMs = 6_000
  scene2.clock.nowMs = 6_000
  s.replicas[1]!.writes[0]!.reply(applied())
  s.replicas[1]!.reads[0]!.answer()
  answer?.()
  expect(writing.error).toMatchObject({ code: 'timeout', outcome: 'unknown' })
  expect(reading.error?.code).toBe('timeout')
  expect(scanning.error?.code).toBe('timeout')
})

describe('this node as a replica of a slot that it has lost', () => {
  const result: CommitResult = { applied: true, seen: undefined, existed: false, previous: undefined }
  const lossy = (kept: StoredRecord[], lostCount = 1) => {
    return {
      lostCount,
      isLost(each: Slot): boolean {
        return this.lostCount > 0 && each === slot
      },
      commitOne: (each: StoredRecord, _wantPrevious: boolean, _fresh: boolean, waiter: CommitWaiter) => {
        kept.push(each)
        queueMicrotask(() => waiter.committed(result))
      },
      get: () => fresh,
      getVersion: () => fresh,
      scanSlot: (_: Slot, visit: (each: StoredRecord) => void) => visit(fresh),
    }
  }

  test('keeps a write and has no say, even where the slot is whole before the write is durable', async () => {
    const kept: StoredRecord[] = []
    const store = lossy(kept)
    const replica = new LocalReplica(store as unknown as Store)
    const replying = new Promise((resolve) => {
      replica.write(fresh, false, { writeReplied: (_, reply) => resolve(reply.kind) }, 0)
    })
    store.lostCount = 0
    expect(await replying).toBe('refilling')
    expect(kept).toEqual([fresh])
    const next = new Promise((resolve) => {
      replica.write(fresh, false, { writeReplied: (_, reply) => resolve(reply.kind) }, 0)
    })
    expect(await next).toBe('applied')
  })

  test('does not give what is left of it for the whole', () => {
    const replica = new LocalReplica(lossy([]) as unknown as Store)
    const reads: ReadReply[] = []
    const pages: PageReply[] = []
    for (const full of [true, false]) replica.read(key, full, { readReplied: (_, reply) => reads.push(reply) }, 0)
    const request = { slot, prefix: new Uint8Array(0), after: new Uint8Array(0), recordsMax: 9, bytesMax: 999 }
    replica.page(request, { pageReplied: (_, reply) => pages.push(reply) }, 0)
    expect([...reads, ...pages].map(({ kind }) => kind)).toEqual(['refilling', 'refilling', 'refilling'])
    replica.read(Buffer.from('of another slot'), true, { readReplied: (_, reply) => reads.push(reply) }, 0)
    expect(reads.at(-1)?.kind).toBe('held')
    expect([replica.lacks(slot), replica.lacks((slot + 1) as Slot)]).toEqual([true, false])
  })
})
