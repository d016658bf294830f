import { describe, expect, test } from 'vitest'
import { emptyBytes, type KvError, type Slot } from '../../base/index.js'
import { floorVersion, type StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import { ReadOperation } from '../operations/read-operation.js'
import { record, type Scene, type ScriptedReplica, scene, version } from '../replication.test-support.js'
import { SlotRead, type SlotStretch } from '../transfer/slot-read.js'
import { Comparison, twoRoundsMs } from './comparison.test-support.js'
import { Horizon, PacedReading } from './horizon.js'

const key = Buffer.from('k')
const slot = slotOf(key)
const old = record('k', 'old', version(10))

interface Ended<T> {
  result: T | undefined
  error: KvError | undefined
  done: boolean
}

function settlerOf<T>(): Ended<T> & {
  readonly trace: undefined
  resolve(result: T): void
  reject(error: KvError): void
  hold(bytes: number): boolean
} {
  return {
    result: undefined,
    error: undefined,
    done: false,
    resolve(result) {
      this.result = result
      this.done = true
    },
    reject(error) {
      this.error = error
      this.done = true
    },
    trace: undefined,
    hold: () => true,
  }
}

function read({ context, routing }: Scene, deadlineMs = 6_000): Ended<StoredRecord | undefined> {
  const end = settlerOf<StoredRecord | undefined>()
  new ReadOperation(context, routing, slot, key, { consistency: 'quorum', deadlineMs }, end).start(
    context.clock.monotonicMs(),
  )
  return end
}

function scan({ context, routing }: Scene): Ended<SlotStretch> {
  const end = settlerOf<SlotStretch>()
  const request = { slot, prefix: emptyBytes, after: emptyBytes, recordsMax: 100, bytesMax: 1_000_000 }
  new SlotRead(context, routing, request, { consistency: 'quorum', deadlineMs: 6_000 }, end).start()
  return end
}

function withFloors(...floors: number[]): Scene & { replicas: ScriptedReplica[] } {
  const s = scene()
  for (const [i, replica] of s.replicas.entries()) {
    replica.automatic = true
    replica.floorMs = floors[i]!
  }
  return s
}

describe('a value older than the floor of an owner that lacks it', () => {
  for (const [name, floors] of [
    ['the one with the old disk is asked first', [0, 20, 20]],
    ['the one with the floor is asked first', [20, 0, 20]],
  ] as const) {
    test(`is not read, and is buried where it was found: ${name}`, () => {
      const s = withFloors(...floors)
      const holder = s.replicas[floors.indexOf(0)]!
      holder.hold(old)
      const end = read(s)
      expect(end).toMatchObject({ done: true, result: undefined, error: undefined })
      expect(holder.held.get(key.toString('hex'))).toMatchObject({ ...floorVersion(20), tombstone: true })
      expect(holder.writes.map(({ isRepair }) => isRepair)).toEqual([true])
    })

    test(`is not scanned, and is buried where it was found: ${name}`, () => {
      const s = withFloors(...floors)
      const holder = s.replicas[floors.indexOf(0)]!
      holder.hold(old, record('l', 'live', version(30)))
      for (const replica of s.replicas) if (replica !== holder) replica.hold(record('l', 'live', version(30)))
      const { result, error } = scan(s)
      expect(error).toBeUndefined()
      expect(result?.records.filter(({ tombstone }) => !tombstone).map(({ key: of }) => of.toString())).toEqual(['l'])
      expect(holder.held.get(key.toString('hex'))).toMatchObject({ ...floorVersion(20), tombstone: true })
    })
  }

  test('is not read either when the floor comes to light with the write-back', () => {
    const s = withFloors(0, 0, 0)
    s.replicas[0]!.hold(old)
    s.replicas[1]!.automatic = false
    s.replicas[2]!.automatic = false
    const end = read(s)
    s.replicas[1]!.reads[0]!.answer()
    s.replicas[1]!.floorMs = 20
    s.replicas[2]!.floorMs = 20
    s.replicas[1]!.applyWrite(s.replicas[1]!.writes[0]!)
    expect(end).toMatchObject({ done: true, result: undefined, error: undefined })
  })

  test('a value above the floor is read and repaired as ever', () => {
    const s = withFloors(20, 20, 20)
    const fresh = record('k', 'fresh', version(21))
    s.replicas[2]!.hold(fresh)
    s.replicas[1]!.up = false
    expect(read(s).result).toEqual(fresh)
    expect(scan(s).result?.records).toEqual([fresh])
  })
})

test('owners that lack a key under floors of different heights agree, and nobody writes', () => {
  const s = withFloors(20, 15, 17)
  expect(read(s)).toMatchObject({ done: true, result: undefined, error: undefined })
  expect(scan(s).result).toMatchObject({ records: [], more: false })
  expect(s.replicas.flatMap(({ writes }) => writes)).toEqual([])
})

test('no repair is sent after the deadline of its request', () => {
  const s = withFloors(0, 0, 0)
  s.replicas[0]!.hold(old)
  for (const replica of s.replicas) replica.automatic = false
  const end = read(s)
  s.replicas[0]!.reads[0]!.answer()
  // The process is stopped here for a while: what has come is found before the timers are.
  s.clock.nowMs += 6_001
  s.replicas[1]!.reads[0]!.answer()
  expect(end.error?.code).toBe('timeout')
  expect(s.replicas.flatMap(({ writes }) => writes)).toEqual([])
})

test('the horizon follows the clock and never falls', () => {
  let readingMs = 1_000
  const promised: number[] = []
  const horizon = new Horizon(
    () => readingMs,
    300,
    (ms) => promised.push(ms),
  )
  expect(horizon.ms()).toBe(700)
  readingMs = 1_200
  expect(horizon.ms()).toBe(900)
  readingMs = 0
  expect(horizon.ms()).toBe(900)
  expect(promised).toEqual([700, 900])
})

test('where nobody writes time goes on as the wall says, but no faster than monotonic time does', () => {
  let [hybridMs, wallMs, monotonicMs] = [1_000, 1_000, 50]
  const reading = new PacedReading(
    () => hybridMs,
    () => wallMs,
    () => monotonicMs,
  )
  expect(reading.ms()).toBe(1_000)
  monotonicMs += 100
  expect(reading.ms(), 'the wall stands still').toBe(1_000)
  wallMs = 1_100
  expect(reading.ms()).toBe(1_100)
  wallMs = 9_000
  monotonicMs += 50
  expect(reading.ms(), 'the wall has jumped').toBe(1_150)
  wallMs = 0
  expect(reading.ms(), 'it is not to be trusted').toBe(1_000)
  hybridMs = 5_000
  expect(reading.ms(), 'there is a write').toBe(5_000)
  wallMs = 9_000
  monotonicMs += 10.5
  expect(reading.ms()).toBe(5_010)
})

describe('anti-entropy with floors', () => {
  const names = ['a', 'b', 'c', 'd', 'e'].map((name) => `${name}`)
  const slots = names.map((name) => slotOf(Buffer.from(name)))
  const floorAll = (play: Comparison, node: number, floorMs: number): void => {
    for (const of of slots) void play.nodes[node]!.store.raiseFloors([{ slot: of, floorMs }])
  }
  const floorsOf = (play: Comparison, node: number): number[] =>
    slots.map((of: Slot) => play.nodes[node]!.store.floorMs(of))

  for (const asking of [0, 1]) {
    test(`an old disk brings nothing back, and gets what it lacks and the floor: node ${asking} asks`, async () => {
      const play = new Comparison(2)
      const [sound, stale] = play.nodes.map(({ store }) => store)
      sound!.hold(record('a', 'live', version(10)), record('e', 'new', version(40)))
      floorAll(play, 0, 20)
      stale!.hold(record('b', 'deleted since', version(5)), record('c', undefined, version(6)))
      stale!.hold(record('d', 'unknown there', version(30)), record('e', 'older', version(4)))
      play.start(0, 1)
      const done = (): boolean => play.equal && floorsOf(play, 1).every((ms) => ms === 20)
      expect(await play.until(done, 2 * twoRoundsMs)).toBe(true)
      expect([...stale!.held.values()].map(({ value }) => value.toString()).sort()).toEqual(
        ['live', 'new', 'unknown there'].sort(),
      )
      play.stop()
    })
  }

  test('replicas that differ in their floors alone are found, and the lower one rises', async () => {
    const play = new Comparison(2)
    for (const { store } of play.nodes) store.hold(record('a', 'live', version(10)))
    floorAll(play, 0, 20)
    floorAll(play, 1, 15)
    play.start(1)
    expect(await play.until(() => floorsOf(play, 1).every((ms) => ms === 20), twoRoundsMs)).toBe(true)
    play.stop()
  })

  test('a floor is not taken over before everything below it has come', async () => {
    const play = new Comparison(2)
    const [sound, lacking] = play.nodes.map(({ store }) => store)
    sound!.hold(record('a', 'live', version(10)))
    floorAll(play, 0, 20)
    let floorAtCommit = -1
    lacking!.committing = () => {
      floorAtCommit = lacking!.floorMs(slots[0]!)
    }
    play.start(1)
    expect(await play.until(() => play.equal && lacking!.floorMs(slots[0]!) === 20, twoRoundsMs)).toBe(true)
    expect(floorAtCommit).toBe(0)
    play.stop()
  })
})
