import { describe, expect, test } from 'vitest'
import { Cancellation, KvError, limits } from '../../base/index.js'
import { compareVersions } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import { lostWrite, refillingWrite, refusedWrite } from '../replicas/replica.js'
import { applied, record, type Scene, scene, stale, version } from '../replication.test-support.js'
import type { Consistency, WriteResult } from './operations.js'
import { WriteOperation } from './write-operation.js'

type End = { result: WriteResult } | { error: KvError } | undefined

function write(
  { context, routing }: Scene,
  options: {
    consistency?: Consistency
    deadlineMs?: number
    cancellation?: Cancellation
    stampAboveMs?: number
    stampLimitMs?: number
    /** What is asked for: a delete asks whether there was anything. */
    kind?: 'put' | 'put returning previous' | 'delete'
  } = {},
): { end(): End } {
  let end: End
  const { consistency = 'quorum', deadlineMs = 6_000, kind = 'put returning previous', ...rest } = options
  const tombstone = kind === 'delete'
  const intent = { key: Buffer.from('k'), value: Buffer.from(tombstone ? '' : 'new'), tombstone, expiresAtMs: 0 }
  new WriteOperation(
    context,
    routing,
    slotOf(intent.key),
    { ...intent, returnPrevious: kind === 'put returning previous' },
    { consistency, deadlineMs, ...rest },
    {
      resolve: (result) => {
        expect(end).toBeUndefined()
        end = { result }
      },
      reject: (error) => {
        expect(end).toBeUndefined()
        end = { error }
      },
      trace: undefined,
      hold: () => true,
    },
  ).start()
  return { end: () => end }
}

function failure(end: End): { code: string; outcome: string | undefined } {
  if (end === undefined || !('error' in end)) throw new Error(`no failure: ${JSON.stringify(end)}`)
  return { code: end.error.code, outcome: end.error.outcome }
}

function success(end: End): WriteResult {
  if (end === undefined || !('result' in end)) throw new Error('not acknowledged')
  return end.result
}

describe('a write', () => {
  test('goes to all owners, is acknowledged at W and not before', () => {
    const s = scene()
    const { end } = write(s)
    expect(s.replicas.map(({ writes }) => writes.length)).toEqual([1, 1, 1])
    s.replicas[0]!.writes[0]!.reply(applied())
    expect(end()).toBeUndefined()
    s.replicas[2]!.writes[0]!.reply(applied())
    expect(success(end()).acks).toBe(2)
    expect(s.context.active.size).toBe(0)
    s.replicas[1]!.writes[0]!.reply(applied()) // late: nobody waits, nothing breaks
  })

  test('at level one needs one owner, at level all every owner', () => {
    const one = scene()
    const first = write(one, { consistency: 'one' })
    one.replicas[1]!.writes[0]!.reply(applied())
    expect(success(first.end()).acks).toBe(1)

    const all = scene()
    const second = write(all, { consistency: 'all' })
    all.replicas[0]!.writes[0]!.reply(applied())
    all.replicas[1]!.writes[0]!.reply(applied())
    expect(second.end()).toBeUndefined()
    all.replicas[2]!.writes[0]!.reply(applied())
    expect(success(second.end()).acks).toBe(3)
  })

  test('with too few owners in reach sends nothing and was certainly not applied', () => {
    const s = scene()
    s.replicas[1]!.up = false
    s.replicas[2]!.up = false
    expect(failure(write(s).end())).toEqual({ code: 'unavailable', outcome: 'not-applied' })
    expect(s.replicas[0]!.writes).toHaveLength(0)
  })

  test('with too many owners whose queues are full sends nothing and was certainly not applied', () => {
    const s = scene()
    s.replicas[1]!.hasRoom = false
    s.replicas[2]!.hasRoom = false
    expect(failure(write(s).end())).toEqual({ code: 'overloaded', outcome: 'not-applied' })
    expect(s.replicas[0]!.writes).toHaveLength(0)
  })

  test('of a node that may not stamp is refused and not applied', () => {
    const s = scene()
    s.context.refusal = new KvError('read-only', 'the disk is full', { outcome: 'not-applied' })
    expect(failure(write(s).end())).toEqual({ code: 'read-only', outcome: 'not-applied' })
    expect(s.replicas[0]!.writes).toHaveLength(0)
  })

  test('that every owner refused was certainly not applied; the reason is told', () => {
    const s = scene()
    const { end } = write(s, { consistency: 'one' })
    for (const { writes } of s.replicas) writes[0]!.reply(refusedWrite('read-only'))
    expect(failure(end())).toEqual({ code: 'read-only', outcome: 'not-applied' })
  })

  test.each([
    ['one owner applied it', applied()],
    ['one link broke with the write on its way', lostWrite],
  ])('that cannot reach its quorum may have been applied when %s', (_, reply) => {
    const s = scene()
    const { end } = write(s)
    s.replicas[0]!.writes[0]!.reply(reply)
    s.replicas[1]!.writes[0]!.reply(refusedWrite('overloaded'))
    s.replicas[2]!.writes[0]!.reply(refusedWrite('overloaded'))
    expect(failure(end()).outcome).toBe('unknown')
  })

  test('that fails while one owner has not answered may yet be applied', () => {
    const s = scene()
    const { end } = write(s)
    s.replicas[0]!.writes[0]!.reply(refusedWrite('overloaded'))
    s.replicas[1]!.writes[0]!.reply(refusedWrite('overloaded'))
    expect(failure(end())).toEqual({ code: 'overloaded', outcome: 'unknown' })
  })

  test('ends at its deadline with an unknown outcome', () => {
    const s = scene()
    const { end } = write(s, { deadlineMs: s.clock.nowMs + 500 })
    s.clock.advance(490)
    expect(end()).toBeUndefined()
    s.clock.advance(20)
    expect(failure(end())).toEqual({ code: 'timeout', outcome: 'unknown' })
    expect(s.context.active.size).toBe(0)
  })

  test('waits for a stamp while the clock may not move on, and is not applied if its deadline passes first', () => {
    const s = scene()
    s.context.stuck = []
    const { end } = write(s)
    const impatient = write(s, { deadlineMs: s.clock.nowMs + 50 })
    s.clock.advance(100)
    expect(failure(impatient.end())).toEqual({ code: 'timeout', outcome: 'not-applied' })
    expect(s.replicas[0]!.writes).toHaveLength(0)
    // Whoever has given up holds nothing any more: a disk may hang for longer than clients go on asking.
    expect(s.context.stuck).toHaveLength(1)
    const waiting = s.context.stuck
    s.context.stuck = undefined
    for (const retry of waiting) retry()
    expect(s.replicas[0]!.writes).toHaveLength(1)
    for (const { writes } of s.replicas) writes[0]!.reply(applied())
    expect(success(end()).acks).toBe(2)
  })

  test('that waits for a stamp to go out again does so once, however many answers come meanwhile', () => {
    const s = scene()
    const { end } = write(s)
    s.context.stuck = []
    for (const { writes } of s.replicas) writes[0]!.reply(stale(version(200)))
    expect(s.context.stuck).toHaveLength(1)
    const waiting = s.context.stuck
    s.context.stuck = undefined
    for (const retry of [...waiting]) retry()
    expect(s.replicas.map(({ writes }) => writes.length)).toEqual([2, 2, 2])
    for (const { writes } of s.replicas) writes[1]!.reply(applied())
    expect(success(end()).acks).toBe(2)
  })

  test('that is cancelled after it was sent has an unknown outcome', () => {
    const s = scene()
    const cancellation = new Cancellation()
    const { end } = write(s, { cancellation })
    cancellation.cancel()
    expect(failure(end())).toEqual({ code: 'cancelled', outcome: 'unknown' })
  })
})

describe('a write that was repeated', () => {
  test('is refused and not applied when it comes too late: its stamp would pass its limit', () => {
    const s = scene()
    s.context.stampMs = 5_000
    expect(failure(write(s, { stampLimitMs: 5_000 }).end())).toEqual({ code: 'unavailable', outcome: 'not-applied' })
    expect(s.replicas[0]!.writes).toHaveLength(0)
    write(s, { stampLimitMs: 5_100 })
    expect(s.replicas[0]!.writes).toHaveLength(1)
  })

  test('is stamped above the limit of the attempts before it', () => {
    const s = scene()
    write(s, { stampAboveMs: 4_000, stampLimitMs: 6_000 })
    expect(compareVersions(s.replicas[0]!.writes[0]!.record, version(4_000))).toBeGreaterThan(0)
  })

  test('is not stamped again past its limit when newer versions cost its quorum', () => {
    const s = scene()
    const { end } = write(s, { stampLimitMs: 1_000 })
    s.replicas[0]!.writes[0]!.reply(stale(version(5_000, 2)))
    s.replicas[1]!.writes[0]!.reply(stale(version(5_000, 2)))
    expect(failure(end()).code).toBe('unavailable')
    expect(s.replicas[0]!.writes).toHaveLength(1)
  })
})

describe('a write that meets newer versions', () => {
  test('is stamped again above them when they cost the quorum', () => {
    const s = scene()
    const { end } = write(s)
    const newer = version(5_000, 2)
    s.replicas[0]!.writes[0]!.reply(stale(newer))
    expect(s.replicas[0]!.writes).toHaveLength(1)
    s.replicas[1]!.writes[0]!.reply(stale(version(4_000, 3)))
    for (const { writes } of s.replicas) expect(compareVersions(writes[1]!.record, newer)).toBeGreaterThan(0)
    s.replicas[2]!.writes[0]!.reply(applied()) // the first attempt's: must not count for the second
    s.replicas[2]!.writes[1]!.reply(applied())
    expect(end()).toBeUndefined()
    s.replicas[0]!.writes[1]!.reply(applied(newer, true))
    const result = success(end())
    expect(compareVersions(result.version, newer)).toBeGreaterThan(0)
    expect(result.existed).toBe(true)
  })

  test('keeps its stamp when the quorum is met without the stale one', () => {
    const s = scene()
    const { end } = write(s)
    s.replicas[0]!.writes[0]!.reply(stale(version(5_000, 2)))
    s.replicas[1]!.writes[0]!.reply(applied())
    s.replicas[2]!.writes[0]!.reply(applied())
    expect(compareVersions(success(end()).version, version(5_000))).toBeLessThan(0)
    expect(s.replicas[0]!.writes).toHaveLength(1)
  })

  test('does not take its own first attempt for what it replaced', () => {
    const s = scene()
    const { end } = write(s)
    const own = s.replicas[2]!.writes[0]!.record
    s.replicas[2]!.writes[0]!.reply(applied())
    s.replicas[0]!.writes[0]!.reply(stale(version(5_000, 2)))
    s.replicas[1]!.writes[0]!.reply(stale(version(5_000, 2)))
    s.replicas[2]!.writes[1]!.reply(applied(own, true, own))
    s.replicas[1]!.writes[1]!.reply(applied(version(5_000, 2), false))
    const result = success(end())
    expect(result.existed).toBe(false)
    expect(result.previous).toBeUndefined()
  })

  test('gives up after a bounded number of attempts, and says that it may have been applied', () => {
    const s = scene()
    const { end } = write(s)
    s.replicas[2]!.writes[0]!.reply(applied())
    for (let attempt = 0; attempt < limits.writeAttemptsMax; attempt++) {
      const newer = version(s.context.stampMs + 100, 2)
      s.replicas[0]!.writes[attempt]!.reply(stale(newer))
      s.replicas[1]!.writes[attempt]!.reply(stale(newer))
    }
    expect(failure(end())).toEqual({ code: 'unavailable', outcome: 'unknown' })
    expect(s.replicas[0]!.writes).toHaveLength(limits.writeAttemptsMax)
  })

  test('does not follow a version from too far in the future', () => {
    const s = scene({ driftMaxMs: 10_000 })
    const { end } = write(s)
    s.replicas[0]!.writes[0]!.reply(stale(version(1_000_000, 2)))
    s.replicas[1]!.writes[0]!.reply(stale(version(1_000_000, 2)))
    expect(failure(end()).code).toBe('unavailable')
    expect(s.context.stampMs).toBeLessThan(1_000)
  })
})

describe('what a write replaced', () => {
  const older = record('k', 'older', version(10))
  const newer = record('k', 'newer', version(20))

  /** An owner that got this very write by another way before its message came: it met the write itself. */
  function answerOvertaken(s: Scene, owner: number, attempt = 0): void {
    const sent = s.replicas[owner]!.writes[attempt]!
    sent.reply(applied(sent.record))
  }

  function answer(s: Scene, owner: number, met?: StoredRecord): void {
    s.replicas[owner]!.writes[0]!.reply(applied(met, met !== undefined, met))
  }

  function told(end: End): string {
    const { replacedKnown, existed, previous } = success(end)
    if (!replacedKnown) return existed || previous !== undefined ? 'unknown, but told' : 'unknown'
    return previous === undefined ? `${existed ? 'something' : 'nothing'}` : Buffer.from(previous.value).toString()
  }

  test('is the newest that any owner of the quorum had', () => {
    const s = scene()
    const { end } = write(s)
    answer(s, 0, newer)
    answer(s, 1, older)
    expect(told(end())).toBe('newer')
  })

  test.each([
    ['put returning previous', 'newer'],
    ['delete', 'something'],
  ] as const)(
    'an owner that a hint of the %s has reached first cannot say: another one is waited for',
    (kind, what) => {
      const s = scene()
      const { end } = write(s, { kind })
      answerOvertaken(s, 0)
      answer(s, 1, older)
      expect(end(), 'the newest that was acknowledged may have been on owners 0 and 2').toBeUndefined()
      const previous = kind === 'delete' ? undefined : newer
      s.replicas[2]!.writes[0]!.reply(applied(newer, true, previous))
      expect(told(end())).toBe(what)
      expect(success(end()).acks).toBe(3)
      expect(s.context.active.size).toBe(0)
    },
  )

  test('is told at once where enough others can say', () => {
    const s = scene()
    const { end } = write(s)
    answer(s, 1)
    answer(s, 2, newer)
    answerOvertaken(s, 0)
    expect(told(end())).toBe('newer')
  })

  test.each([
    ['is lost', lostWrite],
    ['is refused', refusedWrite('overloaded')],
    ['is that of an owner that refills', refillingWrite],
    ['is stale: what that owner had before is not known either', stale(version(5_000, 2))],
  ])('is unknown as soon as the last answer that could have told it %s', (_, reply) => {
    const s = scene()
    const { end } = write(s)
    answerOvertaken(s, 0)
    answer(s, 1, older)
    s.replicas[2]!.writes[0]!.reply(reply)
    expect(told(end())).toBe('unknown')
  })

  test('is unknown at once where too many owners had the write before', () => {
    const s = scene()
    const { end } = write(s)
    answerOvertaken(s, 0)
    answerOvertaken(s, 1)
    expect(told(end())).toBe('unknown')
  })

  test('is not waited for longer than a moment', () => {
    const s = scene()
    const { end } = write(s, { deadlineMs: s.clock.nowMs + 5_000 })
    answerOvertaken(s, 0)
    answer(s, 1, older)
    s.clock.advance(limits.replacedWaitMs - limits.operationTickMs)
    expect(end()).toBeUndefined()
    s.clock.advance(2 * limits.operationTickMs)
    expect(told(end())).toBe('unknown')
    answer(s, 2, newer) // late: nobody waits, nothing breaks
  })

  test('is not waited for until the deadline: what is acknowledged does not time out', () => {
    const s = scene()
    const { end } = write(s, { deadlineMs: s.clock.nowMs + 50 })
    answerOvertaken(s, 0)
    answer(s, 1, older)
    s.clock.advance(40)
    expect(told(end())).toBe('unknown')
  })

  test('a put that does not ask is not kept waiting', () => {
    const s = scene()
    const { end } = write(s, { kind: 'put' })
    answerOvertaken(s, 0)
    answer(s, 1, older)
    expect(told(end())).toBe('unknown')
  })

  test('at level one is what one owner had', () => {
    const s = scene()
    const { end } = write(s, { consistency: 'one' })
    answerOvertaken(s, 0)
    expect(end()).toBeUndefined()
    answer(s, 1, older)
    expect(told(end())).toBe('older')
  })

  test('takes as many answers as a read: one owner may have what a read has returned', () => {
    const s = scene({ r: 3, w: 2 })
    const { end } = write(s)
    answer(s, 0)
    answer(s, 1)
    expect(end()).toBeUndefined()
    answer(s, 2, newer)
    expect(told(end())).toBe('newer')
  })

  test('an owner that met the attempt before tells what that one met, unless that came by another way too', () => {
    for (const first of [applied(older, true, older), lostWrite]) {
      const s = scene()
      const { end } = write(s)
      const own = s.replicas[2]!.writes[0]!.record
      const beaten = version(5_000, 2)
      s.replicas[2]!.writes[0]!.reply(first)
      s.replicas[0]!.writes[0]!.reply(stale(beaten))
      s.replicas[1]!.writes[0]!.reply(stale(beaten))
      s.replicas[2]!.writes[1]!.reply(applied(own, true, own))
      answerOvertaken(s, 0, 1)
      if (first.kind === 'applied') expect(end()).toBeUndefined()
      s.replicas[1]!.writes[1]!.reply(applied(beaten, false))
      expect(told(end())).toBe(first.kind === 'applied' ? 'nothing' : 'unknown')
    }
  })
})

describe('hints', () => {
  const hinted = (s: Scene): string[] => s.context.hints.map(([id, { value }]) => `${id} ${Buffer.from(value)}`)

  test('an owner that refused an acknowledged write, or whose answer was lost, gets one, before or after it was', () => {
    for (const missed of [
      refusedWrite('unavailable'),
      refusedWrite('overloaded'),
      refusedWrite('read-only'),
      lostWrite,
    ]) {
      for (const order of [
        [0, 1, 2],
        [2, 0, 1],
      ]) {
        const s = scene()
        const { end } = write(s)
        for (const i of order) s.replicas[i]!.writes[0]!.reply(i === 2 ? missed : applied())
        expect(success(end()).acks).toBe(2)
        expect(hinted(s)).toEqual(['n2 new'])
        expect(compareVersions(s.context.hints[0]![1], success(end()).version)).toBe(0)
      }
    }
  })

  test('an owner that has it, has something newer, or is being refilled, gets none, and neither does this node', () => {
    for (const reply of [applied(), stale(version(900)), refillingWrite]) {
      const s = scene()
      const { end } = write(s)
      for (const [i, { writes }] of s.replicas.entries()) writes[0]!.reply(i === 2 ? reply : applied())
      success(end())
      expect(hinted(s)).toEqual([])
    }
    const s = scene({ self: 2 })
    const { end } = write(s)
    for (const [i, { writes }] of s.replicas.entries())
      writes[0]!.reply(i === 2 ? refusedWrite('read-only') : applied())
    success(end())
    expect(hinted(s)).toEqual([])
  })

  test('a write that failed is hinted to nobody, whatever is answered later: it may have been told to be nowhere', () => {
    const refused = scene()
    const first = write(refused)
    refused.replicas[0]!.writes[0]!.reply(refusedWrite('read-only'))
    refused.replicas[1]!.writes[0]!.reply(refusedWrite('read-only'))
    failure(first.end())
    refused.replicas[2]!.writes[0]!.reply(lostWrite)
    expect(hinted(refused)).toEqual([])

    const late = scene()
    const second = write(late, { deadlineMs: 2_000 })
    late.replicas[0]!.writes[0]!.reply(applied())
    late.clock.advance(2_000)
    expect(failure(second.end())).toEqual({ code: 'timeout', outcome: 'unknown' })
    late.replicas[1]!.writes[0]!.reply(applied())
    late.replicas[2]!.writes[0]!.reply(lostWrite)
    expect(hinted(late)).toEqual([])
  })

  test('of a write that was stamped again only the attempt that was acknowledged is hinted', () => {
    const s = scene()
    const { end } = write(s)
    s.replicas[2]!.writes[0]!.reply(lostWrite)
    s.replicas[1]!.writes[0]!.reply(stale(version(500)))
    s.replicas[0]!.writes[0]!.reply(applied())
    for (const [i, { writes }] of s.replicas.entries()) writes[1]!.reply(i === 2 ? lostWrite : applied())
    const { version: stamp } = success(end())
    expect(s.context.hints.map(([id, { hi, lo, node }]) => [id, { hi, lo, node }])).toEqual([['n2', stamp]])
  })
})
