import { describe, expect, test } from 'vitest'
import { type KvError, limits } from '../../base/index.js'
import type { StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import { failedRead, lostWrite, refusedWrite } from '../replicas/replica.js'
import { record, type Scene, type ScriptedReplica, scene, version } from '../replication.test-support.js'
import type { Consistency } from './operations.js'
import { ReadOperation } from './read-operation.js'

type End = { record: StoredRecord | undefined } | { error: KvError } | undefined

function read(
  { context, routing }: Scene,
  consistency: Consistency = 'quorum',
  deadlineMs = 6_000,
): { end(): End; value(): string | undefined } {
  let end: End
  const settler = {
    resolve: (found: StoredRecord | undefined) => {
      expect(end).toBeUndefined()
      end = { record: found }
    },
    reject: (error: KvError) => {
      expect(end).toBeUndefined()
      end = { error }
    },
    trace: undefined,
    hold: () => true,
  }
  new ReadOperation(
    context,
    routing,
    slotOf(Buffer.from('k')),
    Buffer.from('k'),
    { consistency, deadlineMs },
    settler,
  ).start(context.clock.monotonicMs())
  const value = (): string | undefined => {
    if (end === undefined || !('record' in end)) throw new Error(`no answer: ${JSON.stringify(end)}`)
    return end.record === undefined ? undefined : Buffer.from(end.record.value).toString()
  }
  return { end: () => end, value }
}

function codeOf(end: End): string {
  if (end === undefined || !('error' in end)) throw new Error('no failure')
  return end.error.code
}

const old = record('k', 'old', version(10))
const fresh = record('k', 'fresh', version(20))

function asked(replica: ScriptedReplica): number {
  return replica.reads.length
}

describe('a quorum read', () => {
  test('asks R owners, itself in full and the other by version, and answers when they agree', () => {
    const s = scene()
    for (const replica of s.replicas) replica.hold(fresh)
    const { end, value } = read(s)
    expect(s.replicas.map(asked)).toEqual([1, 1, 0])
    expect(s.replicas.map(({ reads }) => reads[0]?.full)).toEqual([true, false, undefined])
    s.replicas[0]!.reads[0]!.answer()
    expect(end()).toBeUndefined()
    s.replicas[1]!.reads[0]!.answer()
    expect(value()).toBe('fresh')
    expect(s.replicas.every(({ writes }) => writes.length === 0)).toBe(true)
    expect(s.context.active.size).toBe(0)
  })

  test('returns undefined for a key that nobody has', () => {
    const s = scene()
    for (const replica of s.replicas) replica.automatic = true
    expect(read(s).value()).toBeUndefined()
  })

  test.each([
    [0, 1],
    [1, 0],
  ])('returns the newest, whichever answers first (%i, then %i), after writing it back', (first, second) => {
    const s = scene()
    s.replicas[0]!.hold(old)
    s.replicas[1]!.hold(fresh)
    const { end, value } = read(s)
    s.replicas[first]!.reads[0]!.answer()
    s.replicas[second]!.reads[0]!.answer()
    // It only has the version of the newer one: it must fetch the record.
    expect(s.replicas[1]!.reads[1]!.full).toBe(true)
    s.replicas[1]!.reads[1]!.answer()
    expect(end()).toBeUndefined()
    const [sent] = s.replicas[0]!.writes
    expect(Buffer.from(sent!.record.value).toString()).toBe('fresh')
    s.replicas[0]!.applyWrite(sent!)
    expect(value()).toBe('fresh')
  })

  test('brings a newer local version to an owner that lacks it before the reply', () => {
    const s = scene()
    s.replicas[0]!.hold(fresh)
    const { end, value } = read(s)
    for (const i of [0, 1]) s.replicas[i]!.reads[0]!.answer()
    expect(end()).toBeUndefined()
    expect(s.replicas[1]!.writes).toHaveLength(1)
    expect(s.replicas[2]!.writes).toHaveLength(1)
    s.replicas[2]!.applyWrite(s.replicas[2]!.writes[0]!)
    expect(value()).toBe('fresh')
  })

  test('fails rather than answer when the newest version cannot be brought to a quorum', () => {
    const s = scene()
    s.replicas[0]!.hold(fresh)
    const { end } = read(s)
    for (const i of [0, 1]) s.replicas[i]!.reads[0]!.answer()
    s.replicas[1]!.writes[0]!.reply(refusedWrite('read-only'))
    s.replicas[2]!.writes[0]!.reply(lostWrite)
    expect(codeOf(end())).toBe('unavailable')
  })

  test('counts an owner that has something newer than the write-back as holding it', () => {
    const s = scene()
    s.replicas[0]!.hold(fresh)
    const { value } = read(s)
    for (const i of [0, 1]) s.replicas[i]!.reads[0]!.answer()
    s.replicas[1]!.hold(record('k', 'newest', version(30)))
    s.replicas[1]!.applyWrite(s.replicas[1]!.writes[0]!)
    expect(value()).toBe('fresh')
  })

  test('does not return anything older when the holder of the newest version stops answering', () => {
    const s = scene()
    s.replicas[0]!.hold(old)
    s.replicas[1]!.hold(fresh)
    s.replicas[2]!.hold(old)
    const { end } = read(s)
    for (const i of [0, 1]) s.replicas[i]!.reads[0]!.answer()
    s.replicas[1]!.reads[1]!.reply(failedRead)
    s.replicas[2]!.reads[0]!.answer()
    s.replicas[2]!.reads[1]?.answer()
    expect(codeOf(end())).toBe('unavailable')
  })

  test('a deleted key stays deleted: the tombstone beats the value and is written back', () => {
    const s = scene()
    s.replicas[0]!.hold(old)
    s.replicas[1]!.hold(record('k', undefined, version(20)))
    const { value } = read(s)
    for (const i of [0, 1]) s.replicas[i]!.reads[0]!.answer()
    s.replicas[1]!.reads[1]!.answer()
    const [sent] = s.replicas[0]!.writes
    expect(sent!.record.tombstone).toBe(true)
    s.replicas[0]!.applyWrite(sent!)
    expect(value()).toBeUndefined()
  })

  test('an expired record is absent, and settles like any other version', () => {
    const s = scene()
    const expired = record('k', 'gone', version(20), s.clock.wallMs() - 1)
    for (const replica of s.replicas) {
      replica.automatic = true
      replica.hold(expired)
    }
    expect(read(s).value()).toBeUndefined()
  })

  test('asks the third owner when one is down, without waiting', () => {
    const s = scene()
    for (const replica of s.replicas) replica.hold(fresh)
    s.replicas[1]!.up = false
    const { value } = read(s)
    expect(s.replicas.map(asked)).toEqual([1, 0, 1])
    for (const i of [0, 2]) s.replicas[i]!.reads[0]!.answer()
    expect(value()).toBe('fresh')
  })

  test('spares an owner that is up and doubted, and asks it when nobody else is left', () => {
    const s = scene()
    for (const replica of s.replicas) replica.hold(fresh)
    s.replicas[1]!.doubted = true
    const { value } = read(s)
    expect(s.replicas.map(asked)).toEqual([1, 0, 1])
    for (const i of [0, 2]) s.replicas[i]!.reads[0]!.answer()
    expect(value()).toBe('fresh')
    const worse = scene()
    for (const replica of worse.replicas) replica.hold(fresh)
    worse.replicas[1]!.doubted = true
    worse.replicas[2]!.up = false
    read(worse)
    expect(worse.replicas.map(asked)).toEqual([1, 1, 0])
  })

  test('asks the spare owner when an asked one hangs', () => {
    const s = scene()
    for (const replica of s.replicas) replica.hold(fresh)
    const { value } = read(s)
    s.replicas[0]!.reads[0]!.answer()
    s.clock.advance(limits.readHedgeMs + limits.operationTickMs)
    s.replicas[2]!.reads[0]!.answer()
    expect(value()).toBe('fresh')
  })

  test('fetches from elsewhere when the holder of the newest record hangs', () => {
    const s = scene()
    s.replicas[0]!.hold(old)
    s.replicas[1]!.hold(fresh)
    s.replicas[2]!.hold(fresh)
    const { value } = read(s)
    for (const i of [0, 1]) s.replicas[i]!.reads[0]!.answer()
    s.clock.advance(limits.readHedgeMs + 2 * limits.operationTickMs)
    s.replicas[2]!.reads[0]!.answer()
    expect(value()).toBe('fresh')
  })

  test('fails at once when a quorum cannot be reached, and at the deadline when nobody answers', () => {
    const down = scene()
    down.replicas[1]!.up = false
    down.replicas[2]!.up = false
    const { end } = read(down)
    down.replicas[0]!.reads[0]?.answer()
    expect(codeOf(end())).toBe('unavailable')

    const mute = scene()
    const hanging = read(mute, 'quorum', mute.clock.nowMs + 1_000)
    mute.clock.advance(1_020)
    expect(codeOf(hanging.end())).toBe('timeout')
  })

  test('repairs an asked owner that is stale although enough agree', () => {
    const s = scene()
    s.replicas[0]!.hold(fresh)
    s.replicas[1]!.hold(old)
    s.replicas[2]!.hold(fresh)
    const { value } = read(s, 'all')
    for (const { reads } of s.replicas) reads[0]!.answer()
    expect(value()).toBe('fresh')
    expect(s.replicas[1]!.writes).toHaveLength(1)
  })
})

describe('where one replica is a read quorum', () => {
  test('a version on one owner is not returned before every owner has it', () => {
    const s = scene({ r: 1, w: 3 })
    s.replicas[0]!.hold(fresh)
    const { end, value } = read(s)
    for (const { reads } of s.replicas) reads[0]!.answer()
    expect(end()).toBeUndefined()
    for (const i of [1, 2]) s.replicas[i]!.applyWrite(s.replicas[i]!.writes[0]!)
    expect(value()).toBe('fresh')
  })
})

describe('a read at level one', () => {
  test('takes the first answer and repairs nothing', () => {
    const s = scene()
    s.replicas[0]!.hold(old)
    s.replicas[1]!.hold(fresh)
    const { value } = read(s, 'one')
    s.replicas[0]!.reads[0]!.answer()
    expect(value()).toBe('old')
    expect(s.replicas.map(asked)).toEqual([1, 0, 0])
  })

  test('goes to another owner when this node is none', () => {
    const s = scene({ self: 7 })
    s.replicas[0]!.up = false
    s.replicas[1]!.hold(fresh)
    const { value } = read(s, 'one')
    s.replicas[1]!.reads[0]!.answer()
    expect(value()).toBe('fresh')
  })
})
