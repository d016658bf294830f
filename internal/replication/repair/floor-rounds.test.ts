import { expect, test } from 'vitest'
import { type Epoch, KvError, type NodeId, type Slot } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import type { Floor } from '../../record/index.js'
import { allSlots, slotOf } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import { noOtherSide, type Routing } from '../operations/routing.js'
import { ScanSlices } from '../operations/scan-slices.js'
import { ManualClock, record, version } from '../replication.test-support.js'
import { ComparableStore } from './comparison.test-support.js'
import { type FloorAnswer, type FloorAsk, type FloorPeer, failedFloors, floorStanding } from './floor-peer.js'
import { FloorRounds } from './floor-rounds.js'
import { Horizon } from './horizon.js'

const slot = slotOf(Buffer.from('k'))
const tuning = { agreementMs: 10_000, intervalMs: 1_000 }
const driftMs = 100
const names = ['n1', 'n2', 'n3'] as NodeId[]

/** Another owner, in the same process. */
class Owner implements FloorPeer {
  readonly store = new ComparableStore()
  up = true
  busy = false
  life = 'life 1'
  silent = false
  /** Of its clock, as far as that is off. */
  aheadMs = 0
  readonly horizon: Horizon
  asked = 0
  /** Called with an answer before it arrives. */
  answering: () => void = () => undefined

  constructor(readingMs: () => number) {
    this.horizon = new Horizon(() => readingMs() + this.aheadMs, 1_000)
  }

  floors(ask: FloorAsk, answered: (answer: FloorAnswer) => void): void {
    this.asked++
    if (this.silent) return
    const answer = this.up ? floorStanding(this.store as unknown as Store, this.horizon.ms(), ask) : failedFloors
    this.answering()
    answered(answer)
  }

  raiseFloor(floor: Floor, life: string): void {
    if (this.up && life === this.life) void this.store.raiseFloors([floor])
  }
}

/** Three owners of every slot; the first one has the floors rise. Its clock began long ago. */
class Play {
  readonly clock = new ManualClock()
  readonly owners: Owner[]
  readonly rounds: FloorRounds
  epoch = 1
  first = 0
  ended = false
  moving = false

  constructor(nodes = 3) {
    const reading = (): number => this.clock.nowMs
    this.clock.nowMs = 1_000_000
    this.owners = Array.from({ length: nodes }, () => new Owner(reading))
    const store = this.owners[0]!.store as unknown as Store
    this.rounds = new FloorRounds({
      clock: this.clock,
      log: silentLog,
      store,
      horizon: this.owners[0]!.horizon,
      slices: new ScanSlices(this.clock),
      maxClockDriftMs: driftMs,
      tuning,
      routing: () => this.#routing,
      peer: (member) => this.owners[member]!,
    })
    void this.rounds.run().then(() => {
      this.ended = true
    })
  }

  get #routing(): Routing {
    const members = names.slice(0, this.owners.length).map((id) => ({ id }))
    const order = members.map((_, i) => (i + this.first) % members.length)
    const table = { members, owners: () => Uint16Array.from(order), ownsSlot: () => true }
    return {
      epoch: this.epoch as Epoch,
      table,
      self: 0,
      replicas: [],
      readQuorum: 2,
      writeQuorum: 2,
      ...noOtherSide,
      slots: allSlots().map((each) => ({ moves: this.moving && each === slot })),
    } as unknown as Routing
  }

  /** The same on all owners. */
  hold(key: string, value: string | undefined, ms: number, ...on: number[]): void {
    const which = on.length === 0 ? this.owners : on.map((i) => this.owners[i]!)
    for (const { store } of which) store.hold(record(key, value, version(ms)))
  }

  floors(of: Slot = slot): number[] {
    return this.owners.map(({ store }) => store.floorMs(of))
  }

  async advance(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 500) {
      for (let turn = 0; turn < 12; turn++) {
        await new Promise((resolve) => setImmediate(resolve))
        this.clock.advance(0)
      }
      this.clock.advance(Math.min(500, left))
    }
  }
}

test('a tombstone is dropped everywhere when all owners have held the same twice, far enough apart', async () => {
  const play = new Play()
  play.hold('k', undefined, 900_000)
  await play.advance(9_000)
  expect(play.floors()).toEqual([0, 0, 0])
  await play.advance(5_000)
  const [floorMs] = play.floors()
  expect(floorMs).toBeGreaterThan(990_000)
  expect(play.floors()).toEqual([floorMs, floorMs, floorMs])
  for (const { store } of play.owners) expect(store.held.size).toBe(0)
  expect(play.rounds.status()).toMatchObject({ raised: 1, obstacle: '' })
  play.rounds.stop()
  await play.advance(500)
  expect(play.ended).toBe(true)
})

test('while a slot moves its floor stays where it is, and afterwards all begins anew', async () => {
  const play = new Play()
  play.hold('k', undefined, 900_000)
  // So far that only the second comparison is missing.
  await play.advance(9_000)
  play.moving = true
  play.epoch++
  await play.advance(40_000)
  expect(play.floors()).toEqual([0, 0, 0])
  expect(play.rounds.status().obstacle).toMatch(/being handed over/)
  play.moving = false
  play.epoch++
  await play.advance(9_000)
  expect(play.floors()).toEqual([0, 0, 0])
  await play.advance(6_000)
  expect(play.floors()[2]).toBeGreaterThan(990_000)
  play.rounds.stop()
})

test('a slot without tombstones is asked about by nobody, and one with young ones waits for the horizon', async () => {
  const play = new Play()
  play.hold('k', 'live', 900_000)
  await play.advance(30_000)
  expect(play.owners[1]!.asked).toBe(0)
  play.hold('k', undefined, 1_040_000)
  await play.advance(8_000)
  expect(play.owners[1]!.asked).toBe(0)
  play.rounds.stop()
})

test('a node that owns everything alone collects after the same time', async () => {
  const play = new Play(1)
  play.hold('k', undefined, 900_000)
  await play.advance(15_000)
  expect(play.owners[0]!.store.held.size).toBe(0)
  play.rounds.stop()
})

const obstacles: readonly [what: string, hinder: (play: Play) => void, obstacle: string][] = [
  ['cannot be reached', (play) => (play.owners[2]!.up = false), 'n3 cannot be reached'],
  ['is overloaded', (play) => (play.owners[2]!.busy = true), 'n3 cannot be used'],
  ['does not answer', (play) => (play.owners[2]!.silent = true), 'n3 does not answer'],
  ['has lost the slot', (play) => play.owners[2]!.store.lost.add(slot), `n3 has lost slot ${slot}`],
  ['has another floor', (play) => play.owners[2]!.store.floors.set(slot, 5), `n3 has another floor of slot ${slot}`],
  [
    'lacks a record',
    (play) => play.owners[2]!.store.held.clear(),
    `the owners of slot ${slot} do not hold the same yet`,
  ],
]
for (const [what, hinder, obstacle] of obstacles) {
  test(`nothing is collected while one owner ${what}, however long that takes, and the status says why`, async () => {
    const play = new Play()
    play.hold('k', undefined, 900_000)
    hinder(play)
    await play.advance(60_000)
    expect(play.owners[0]!.store.held.size).toBe(1)
    expect(play.owners[0]!.store.floorMs(slot)).toBe(0)
    expect(play.rounds.status().obstacle).toContain(obstacle)
    play.rounds.stop()
  })
}

test('with a clock that is far behind only what that owner does not admit any more is collected', async () => {
  const play = new Play()
  play.hold('k', undefined, 900_000)
  play.owners[2]!.aheadMs = -80_000
  await play.advance(20_000)
  const [floorMs] = play.floors()
  expect(floorMs).toBeGreaterThan(900_000)
  expect(floorMs).toBeLessThanOrEqual(play.owners[2]!.horizon.ms())
  expect(play.floors()).toEqual([floorMs, floorMs, floorMs])
  play.hold('k', undefined, 970_000)
  await play.advance(20_000)
  expect(play.floors()).toEqual([floorMs, floorMs, floorMs])
  play.rounds.stop()
})

test('an owner whose horizon was told when it had just restarted is asked anew once it may have caught up', async () => {
  const play = new Play()
  // Its clock reads what it read before it was down; it has not heard from the others yet.
  play.owners[2]!.aheadMs = -500_000
  play.hold('k', undefined, 990_000)
  await play.advance(1_500)
  expect(play.rounds.status().obstacle).toBe('the clock of n3 is behind')
  await play.advance(1_500)
  expect(play.owners[2]!.asked).toBe(1)
  expect(play.rounds.status().obstacle).toBe('')
  play.owners[2]!.aheadMs = 0
  await play.advance(tuning.agreementMs)
  expect(play.floors()).toEqual([0, 0, 0])
  await play.advance(tuning.agreementMs + 5_000)
  expect(play.floors().every((ms) => ms > 990_000)).toBe(true)
  play.rounds.stop()
})

test('nothing is collected while the horizon of one owner stands still', async () => {
  const play = new Play()
  play.hold('k', undefined, 1_001_000)
  play.owners[2]!.horizon.ms = () => 1_000_000
  await play.advance(60_000)
  expect(play.floors()).toEqual([0, 0, 0])
  play.rounds.stop()
})

test('an owner that differed at the second comparison has everything begin anew', async () => {
  const play = new Play()
  play.hold('k', undefined, 900_000)
  await play.advance(5_000)
  // A repair that was under way at the first comparison arrives.
  play.hold('z', 'late', 800_000, 1)
  const same = slotOf(Buffer.from('z')) === slot
  play.owners[1]!.store.hold(record(same ? 'z' : 'k', same ? 'late' : 'x', version(950_000)))
  await play.advance(8_000)
  expect(play.floors()).toEqual([0, 0, 0])
  for (const { store } of play.owners) store.hold(record(same ? 'z' : 'k', same ? 'late' : 'x', version(950_000)))
  for (const { store } of play.owners) store.hold(record('k', undefined, version(960_000)))
  await play.advance(8_000)
  expect(play.floors()).toEqual([0, 0, 0])
  await play.advance(8_000)
  expect(play.floors().every((ms) => ms > 960_000)).toBe(true)
  play.rounds.stop()
})

test('an owner that has restarted since it answered is not told, and the others are', async () => {
  const play = new Play()
  play.hold('k', undefined, 900_000)
  await play.advance(5_000)
  // Both at the second comparison: it answers, and dies.
  play.owners[2]!.answering = () => {
    play.owners[2]!.life = 'life 2'
  }
  await play.advance(9_000)
  const [first, second, third] = play.floors()
  expect(first).toBeGreaterThan(900_000)
  expect(second).toBe(first)
  expect(third).toBe(0)
  play.rounds.stop()
})

test('a change of the topology between the comparisons voids the first', async () => {
  const play = new Play()
  play.hold('k', undefined, 900_000)
  await play.advance(9_000)
  play.epoch = 2
  await play.advance(8_000)
  expect(play.floors()).toEqual([0, 0, 0])
  await play.advance(8_000)
  expect(play.floors().every((ms) => ms > 0)).toBe(true)
  play.rounds.stop()
})

test('who is not the first owner of a slot leaves it to the one who is', async () => {
  const play = new Play()
  play.first = 1
  play.hold('k', undefined, 900_000)
  await play.advance(30_000)
  expect(play.owners[1]!.asked).toBe(0)
  expect(play.floors()).toEqual([0, 0, 0])
  play.rounds.stop()
})

test('a floor that finds no room here is told, and the rounds go on', async () => {
  const play = new Play()
  play.hold('k', undefined, 900_000)
  play.owners[0]!.store.raiseFloors = () => Promise.reject(new KvError('read-only', 'no room'))
  await play.advance(14_000)
  expect(play.rounds.status()).toMatchObject({ raised: 0 })
  expect(play.owners[1]!.store.floorMs(slot)).toBeGreaterThan(0)
  expect(play.ended).toBe(false)
  play.rounds.stop()
})
