import { describe, expect, test } from 'vitest'
import { type KvError, limits, type Slot } from '../../base/index.js'
import { compareVersions } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import { failedPage, failedRead, lostWrite, type PageWaiter, refusedWrite } from '../replicas/replica.js'
import {
  applied,
  record,
  type Scene,
  type ScriptedReplica,
  scene,
  stale,
  version,
} from '../replication.test-support.js'
import { readStretch } from '../transfer/slot-read.js'
import type { Consistency, WriteResult } from './operations.js'
import { ReadOperation } from './read-operation.js'
import { WriteOperation } from './write-operation.js'

const key = Buffer.from('k')
const old = record('k', 'old', version(10))
const fresh = record('k', 'fresh', version(20))

/** How an operation has ended; undefined: it runs. A failure: its code, and the outcome of a write. */
interface Run<T> {
  end: { readonly result: T } | { readonly failure: readonly [code: string, outcome?: string] } | undefined
}

function settlerOf<T>(run: Run<T>) {
  return {
    resolve: (result: T) => {
      expect(run.end).toBeUndefined()
      run.end = { result }
    },
    reject: ({ code, outcome }: KvError) => {
      expect(run.end).toBeUndefined()
      run.end = { failure: outcome === undefined ? [code] : [code, outcome] }
    },
    trace: undefined,
    hold: () => true,
  }
}

function write({ context, routing }: Scene, consistency: Consistency = 'quorum', deadlineMs = 60_000) {
  const run: Run<WriteResult> = { end: undefined }
  const intent = { key, value: Buffer.from('new'), tombstone: false, expiresAtMs: 0, returnPrevious: false }
  const options = { consistency, deadlineMs }
  new WriteOperation(context, routing, slotOf(key), intent, options, settlerOf(run)).start()
  return run
}

function read({ context, routing }: Scene, deadlineMs = 60_000) {
  const run: Run<StoredRecord | undefined> = { end: undefined }
  const options = { consistency: 'quorum' as const, deadlineMs }
  new ReadOperation(context, routing, slotOf(key), key, options, settlerOf(run)).start(context.clock.monotonicMs())
  return run
}

function breakLink(replica: ScriptedReplica, returning = true): void {
  replica.up = false
  replica.returning = returning
}

function mendLink(replica: ScriptedReplica): void {
  replica.up = true
  replica.returning = false
}

function giveUp(replica: ScriptedReplica): void {
  replica.returning = false
}

/** Three owners, of which the third is dead and known to be. */
function oneDead(): Scene & { readonly here: ScriptedReplica; readonly other: ScriptedReplica } {
  const s = scene()
  breakLink(s.replicas[2]!, false)
  return { ...s, here: s.replicas[0]!, other: s.replicas[1]! }
}

/** The dead owner refuses what it is sent, as whoever has no link does. */
function refuseForTheDead({ replicas }: Pick<Scene, 'replicas'>): void {
  for (const sent of replicas[2]!.writes.splice(0)) sent.reply(refusedWrite('unavailable'))
}

/** A write that is durable here, and on its way to the only other owner that lives when that link breaks. */
function brokenOnItsWay() {
  const s = oneDead()
  const run = write(s)
  refuseForTheDead(s)
  s.here.writes[0]!.reply(applied())
  breakLink(s.other)
  s.other.writes[0]!.reply(lostWrite)
  return { ...s, run }
}

describe('a write whose link breaks', () => {
  test('is sent again, the same, when the link is back', () => {
    const { run, other, clock } = brokenOnItsWay()
    expect(run.end).toBeUndefined()
    mendLink(other)
    clock.advance(limits.askAgainMsMin)
    expect(other.writes).toHaveLength(2)
    expect(other.writes[1]!.record).toBe(other.writes[0]!.record)
    other.writes[1]!.reply(applied(other.writes[0]!.record))
    expect(run.end).toMatchObject({ result: { acks: 2 } })
  })

  test('fails as soon as its owner is given up, and may have been applied', () => {
    const { run, other, clock } = brokenOnItsWay()
    giveUp(other)
    clock.advance(limits.askAgainMsMin)
    other.writes[1]!.reply(refusedWrite('unavailable'))
    expect(run.end).toEqual({ failure: ['unavailable', 'unknown'] })
  })

  test('fails long before its deadline where the link comes and breaks again and again', () => {
    const { run, other, clock } = brokenOnItsWay()
    for (let turn = 0; run.end === undefined && turn < 1_000; turn++) {
      const sent = other.writes.length
      clock.advance(limits.operationTickMs)
      if (other.writes.length > sent) other.writes.at(-1)!.reply(lostWrite)
    }
    expect(run.end).toEqual({ failure: ['unavailable', 'unknown'] })
    expect(other.writes).toHaveLength(1 + limits.ownerReturnAsksMax)
  })

  test('has not waited too long when this process stood still meanwhile', () => {
    const { run, other, clock } = brokenOnItsWay()
    clock.nowMs += 10_000
    clock.advance(limits.operationTickMs)
    other.writes[1]!.reply(lostWrite)
    expect(run.end).toBeUndefined()
  })

  test('ends at its deadline', () => {
    const s = oneDead()
    const run = write(s, 'quorum', s.clock.nowMs + 15)
    refuseForTheDead(s)
    s.here.writes[0]!.reply(applied())
    breakLink(s.other)
    s.other.writes[0]!.reply(lostWrite)
    s.clock.advance(limits.operationTickMs * 2)
    expect(run.end).toEqual({ failure: ['timeout', 'unknown'] })
  })

  test('waits for nobody where the others are enough, and leaves a hint', () => {
    const s = scene()
    const run = write(s)
    breakLink(s.replicas[2]!)
    s.replicas[2]!.writes[0]!.reply(lostWrite)
    s.replicas[0]!.writes[0]!.reply(applied())
    s.replicas[1]!.writes[0]!.reply(applied())
    expect(run.end).toMatchObject({ result: { acks: 2 } })
    expect(s.context.hints.map(([id]) => id)).toEqual(['n2'])
  })

  test('is not stamped above what its owner got meanwhile: the owner may have had it before, and others may have read it', () => {
    const { run, here, other, clock } = brokenOnItsWay()
    mendLink(other)
    clock.advance(limits.askAgainMsMin)
    other.writes[1]!.reply(stale(version(5_000, 2)))
    expect(here.writes).toHaveLength(1)
    expect(run.end).toEqual({ failure: ['unavailable', 'unknown'] })
  })

  test('is not stamped above that under another topology either', () => {
    const { run, here, other, clock, context, routing, replicas } = brokenOnItsWay()
    mendLink(other)
    context.active.reroute({ ...routing })
    refuseForTheDead({ replicas })
    here.writes[1]!.reply(applied(here.writes[0]!.record))
    other.writes[1]!.reply(stale(version(5_000, 2)))
    clock.advance(limits.askAgainMsMax)
    expect(here.writes.map(({ record }) => record)).toEqual([here.writes[0]!.record, here.writes[0]!.record])
    expect(run.end).toEqual({ failure: ['unavailable', 'unknown'] })
  })

  test('waits for the next link under another topology too', () => {
    const s = brokenOnItsWay()
    s.context.active.reroute({ ...s.routing })
    refuseForTheDead(s)
    s.here.writes[1]!.reply(applied(s.here.writes[0]!.record))
    s.other.writes.at(-1)!.reply(refusedWrite('unavailable'))
    expect(s.run.end).toBeUndefined()
    mendLink(s.other)
    s.clock.advance(limits.askAgainMsMax)
    expect(s.other.writes.at(-1)!.record).toBe(s.other.writes[0]!.record)
    s.other.writes.at(-1)!.reply(applied(s.other.writes[0]!.record))
    expect(s.run.end).toMatchObject({ result: { acks: 2 } })
  })

  test('is stamped again at once where those that have answered are enough for it', () => {
    const s = scene()
    const run = write(s)
    breakLink(s.replicas[2]!)
    s.replicas[2]!.writes[0]!.reply(lostWrite)
    s.replicas[0]!.writes[0]!.reply(applied())
    expect(s.replicas[0]!.writes).toHaveLength(1)
    s.replicas[1]!.writes[0]!.reply(stale(version(5_000, 2)))
    s.replicas[0]!.writes[1]!.reply(applied())
    s.replicas[1]!.writes[1]!.reply(applied())
    expect(run.end).toMatchObject({ result: { acks: 2 } })
    expect(compareVersions(s.replicas[1]!.writes[1]!.record, version(5_000, 2))).toBeGreaterThan(0)
  })
})

describe('a write that too few owners can be sent', () => {
  test('waits for a link that may come, is stamped when it is there, and is sent to nobody before', () => {
    const s = oneDead()
    breakLink(s.other)
    const run = write(s)
    s.clock.advance(500)
    expect(s.replicas.map(({ writes }) => writes.length)).toEqual([0, 0, 0])
    expect(s.context.stampMs).toBe(100)
    mendLink(s.other)
    s.clock.advance(limits.askAgainMsMax)
    s.here.writes[0]!.reply(applied())
    s.other.writes[0]!.reply(applied())
    expect(run.end).toMatchObject({ result: { acks: 2 } })
  })

  test('is refused, and was not applied, as soon as that link is given up', () => {
    const s = oneDead()
    breakLink(s.other)
    const run = write(s)
    giveUp(s.other)
    s.clock.advance(limits.askAgainMsMin)
    expect(run.end).toEqual({ failure: ['unavailable', 'not-applied'] })
    expect(s.here.writes).toHaveLength(0)
  })

  test('was not applied when its deadline passes meanwhile', () => {
    const s = oneDead()
    breakLink(s.other)
    const run = write(s, 'quorum', s.clock.nowMs + 50)
    s.clock.advance(100)
    expect(run.end).toEqual({ failure: ['timeout', 'not-applied'] })
    expect(s.context.active.size).toBe(0)
  })

  test('begins under another topology that comes meanwhile', () => {
    const s = oneDead()
    breakLink(s.other)
    const run = write(s)
    const { routing, replicas } = scene()
    s.context.active.reroute(routing)
    for (const { writes } of replicas) writes[0]!.reply(applied())
    expect(run.end).toMatchObject({ result: { acks: 2 } })
    s.clock.advance(1_000)
    expect(replicas.map(({ writes }) => writes.length)).toEqual([1, 1, 1])
  })

  test('does not wait where it may have been applied already', () => {
    const s = scene()
    const run = write(s)
    s.replicas[0]!.writes[0]!.reply(applied())
    breakLink(s.replicas[1]!)
    breakLink(s.replicas[2]!)
    s.replicas[1]!.writes[0]!.reply(stale(version(5_000, 2)))
    s.replicas[2]!.writes[0]!.reply(stale(version(5_000, 2)))
    expect(run.end).toEqual({ failure: ['unavailable', 'unknown'] })
  })
})

describe('a read', () => {
  test('asks an owner again whose link broke, when nobody else is left', () => {
    const s = oneDead()
    for (const replica of s.replicas) replica.hold(fresh)
    const run = read(s)
    s.here.reads[0]!.answer()
    breakLink(s.other)
    s.other.reads[0]!.reply(failedRead)
    s.clock.advance(500)
    expect(run.end).toBeUndefined()
    mendLink(s.other)
    s.clock.advance(limits.askAgainMsMax)
    s.other.reads[1]!.answer()
    expect(run.end).toEqual({ result: fresh })
  })

  test('asks another owner at once where there is one', () => {
    const s = scene()
    for (const replica of s.replicas) replica.hold(fresh)
    const run = read(s)
    s.replicas[0]!.reads[0]!.answer()
    breakLink(s.replicas[1]!)
    s.replicas[1]!.reads[0]!.reply(failedRead)
    s.replicas[2]!.reads[0]!.answer()
    expect(run.end).toEqual({ result: fresh })
  })

  test('waits for a link that may come, and no longer than until it is given up', () => {
    const s = oneDead()
    breakLink(s.other)
    const run = read(s)
    s.here.reads[0]!.answer()
    s.clock.advance(500)
    expect(run.end).toBeUndefined()
    giveUp(s.other)
    s.clock.advance(limits.askAgainMsMax)
    expect(run.end).toEqual({ failure: ['unavailable'] })
  })

  test.each([
    ['on the way', true],
    ['before', false],
  ])('brings the newest version over the next link when that for it broke %s', (_, isSent) => {
    const s = oneDead()
    s.here.hold(fresh)
    s.other.hold(old)
    const run = read(s)
    s.other.reads[0]!.answer()
    if (!isSent) breakLink(s.other)
    s.here.reads[0]!.answer()
    expect(s.other.writes).toHaveLength(isSent ? 1 : 0)
    if (isSent) {
      breakLink(s.other)
      s.other.writes[0]!.reply(lostWrite)
    }
    s.clock.advance(500)
    expect(run.end).toBeUndefined()
    mendLink(s.other)
    s.clock.advance(limits.askAgainMsMax)
    for (const sent of s.other.reads.slice(1)) sent.answer()
    s.other.applyWrite(s.other.writes.at(-1)!)
    expect(run.end).toEqual({ result: fresh })
  })
})

test('a stretch of a slot is asked for again, and what it lacks is brought, over the next link', async () => {
  const s = oneDead()
  s.here.hold(fresh)
  const page = s.other.page.bind(s.other)
  let asked = 0
  s.other.page = (request, waiter: PageWaiter, position) => {
    asked++
    if (s.other.up) page(request, waiter, position)
    else waiter.pageReplied(position, failedPage)
  }
  breakLink(s.other)
  const request = {
    slot: slotOf(key) as Slot,
    prefix: new Uint8Array(),
    after: new Uint8Array(),
    recordsMax: 9,
    bytesMax: 999,
  }
  const options = { consistency: 'quorum' as const, deadlineMs: 60_000 }
  const stretch = readStretch(s.context, s.routing, request, options)
  s.clock.advance(500)
  expect(asked).toBeGreaterThan(1)
  mendLink(s.other)
  s.clock.advance(limits.askAgainMsMax)
  breakLink(s.other)
  s.other.writes[0]!.reply(lostWrite)
  s.clock.advance(limits.askAgainMsMax)
  s.other.writes[1]!.reply(refusedWrite('unavailable'))
  mendLink(s.other)
  s.clock.advance(limits.askAgainMsMax)
  s.other.applyWrite(s.other.writes[2]!)
  expect((await stretch).records).toEqual([fresh])
})
