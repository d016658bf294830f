import { expect, test } from 'vitest'
import type { Epoch, KvError } from '../../base/index.js'
import { floorVersion, type StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import { applied, record, type Scene, scene, stale, version } from '../replication.test-support.js'
import { RestoreOperation, type RestoreOutcome, type RestoreTally, restoreAll } from './restore-operation.js'

const old = record('key', 'value', version(50))

interface Restoring {
  outcome: RestoreOutcome | undefined
  error: KvError | undefined
}

function restore(s: Scene, wanted: StoredRecord = old): Restoring {
  const found: Restoring = { outcome: undefined, error: undefined }
  const options = { consistency: 'quorum' as const, deadlineMs: s.clock.nowMs + 5_000 }
  const settler = {
    restored: (outcome: RestoreOutcome) => {
      found.outcome = outcome
    },
    failed: (error: KvError) => {
      found.error = error
    },
  }
  new RestoreOperation(s.context, s.routing, slotOf(wanted.key), wanted, options, settler).start()
  return found
}

test('a record comes back under its own version, as a repair, so that no horizon refuses it for its age', () => {
  const s = scene()
  for (const replica of s.replicas) replica.automatic = true
  expect(restore(s)).toEqual({ outcome: 'stored', error: undefined })
  for (const { writes } of s.replicas) {
    expect(writes).toHaveLength(1)
    expect(writes[0]).toMatchObject({ record: old, isRepair: true })
  }
})

test('restored again it is stored again, and changes nothing', () => {
  const s = scene()
  for (const replica of s.replicas) replica.automatic = true
  restore(s)
  expect(restore(s).outcome).toBe('stored')
})

test('what is newer stays, and is told; it counts toward the quorum', () => {
  const s = scene()
  for (const replica of s.replicas) replica.automatic = true
  s.replicas[1]!.hold(record('key', 'newer', version(60)))
  s.replicas[2]!.up = false
  expect(restore(s).outcome).toBe('superseded')
})

test('one owner that has collected the delete is enough: the record is told to be deleted, whatever the others took', () => {
  const s = scene()
  const restoring = restore(s)
  s.replicas[0]!.writes[0]!.reply(applied())
  s.replicas[1]!.writes[0]!.reply(applied())
  expect(restoring.outcome).toBeUndefined()
  s.replicas[2]!.writes[0]!.reply(stale(floorVersion(1_000)))
  expect(restoring.outcome).toBe('deleted')
})

test('an owner that says nothing is waited for a moment, and no longer', () => {
  const s = scene()
  const restoring = restore(s)
  s.replicas[0]!.writes[0]!.reply(applied())
  s.replicas[1]!.writes[0]!.reply(applied())
  s.clock.advance(800)
  expect(restoring.outcome).toBeUndefined()
  s.clock.advance(500)
  expect(restoring.outcome).toBe('stored')
})

test('without a write quorum it fails, and says that it may have been stored', () => {
  const s = scene()
  s.replicas[1]!.up = false
  s.replicas[2]!.up = false
  expect(restore(s).error).toMatchObject({ code: 'unavailable', outcome: 'unknown' })
  expect(s.replicas[0]!.writes).toHaveLength(0)
})

test('owners whose queues are full make it overloaded: whoever restores is to come back', () => {
  const s = scene()
  s.replicas[1]!.hasRoom = false
  s.replicas[2]!.hasRoom = false
  expect(restore(s).error).toMatchObject({ code: 'overloaded' })
})

test('one that is slow past the deadline times out, though answers come then', () => {
  const s = scene()
  const restoring = restore(s)
  s.clock.advance(6_000)
  expect(restoring.error).toMatchObject({ code: 'timeout' })
  s.replicas[0]!.writes[0]!.reply(applied())
  s.replicas[1]!.writes[0]!.reply(applied())
  expect(restoring.outcome).toBeUndefined()
})

test('a replica that loses its data takes its acknowledgement along', () => {
  const s = scene()
  const restoring = restore(s)
  s.replicas[0]!.writes[0]!.reply(applied())
  s.context.active.forget(s.replicas[0]!, new Set([slotOf(old.key)]))
  expect(restoring.error).toMatchObject({ code: 'unavailable' })
})

test('under another epoch it begins anew: what was acknowledged before does not count', () => {
  const s = scene()
  const restoring = restore(s)
  s.replicas[0]!.writes[0]!.reply(applied())
  s.context.active.reroute({ ...s.routing, epoch: 2 as Epoch })
  s.replicas[1]!.writes[0]!.reply(applied())
  s.replicas[2]!.writes[0]!.reply(applied())
  s.replicas[1]!.writes[1]!.reply(applied())
  s.clock.advance(1_500)
  expect(restoring.outcome).toBeUndefined()
  s.replicas[2]!.writes[1]!.reply(applied())
  s.clock.advance(1_500)
  expect(restoring.outcome).toBe('stored')
})

test('of many the tally is told when all have ended; the first failure counts for all', async () => {
  const s = scene()
  for (const replica of s.replicas) replica.automatic = true
  s.replicas[0]!.hold(record('b', 'newer', version(90)))
  const all = ['a', 'b', 'c'].map((key) => record(key, 'x', version(40)))
  const placed = all.map((each) => ({ slot: slotOf(each.key), record: each }))
  const options = { consistency: 'quorum' as const, deadlineMs: 60_000 }
  const tally: RestoreTally = { stored: 2, superseded: 1, deleted: 0 }
  expect(await restoreAll(s.context, s.routing, placed, options)).toEqual(tally)
  expect(await restoreAll(s.context, s.routing, [], options)).toEqual({ stored: 0, superseded: 0, deleted: 0 })
  s.replicas[1]!.up = false
  s.replicas[2]!.up = false
  await expect(restoreAll(s.context, s.routing, placed, options)).rejects.toMatchObject({ code: 'unavailable' })
})
