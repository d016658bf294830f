import { expect, test } from 'vitest'
import { type Epoch, KvError, limits, type Slot } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import type { Floor, StoredRecord } from '../../record/index.js'
import type { SlotTable } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import { noOtherSide, type Routing } from '../operations/routing.js'
import type { PageRequest, PageWaiter } from '../replicas/replica.js'
import { failedPage } from '../replicas/replica.js'
import { ManualClock, nameOf, record, ScriptedReplica, version } from '../replication.test-support.js'
import { Handover, type KeptProgress } from './handover.js'
import { routingOf } from './slot-quorums.js'

const since = 5 as Epoch
const slots = (...numbers: number[]): Slot[] => numbers as Slot[]

/** What outlives a restart of the node to which slots come. */
class Disk {
  readonly held = new Map<string, StoredRecord>()
  readonly lost = new Set<Slot>()
  readonly kept = new Map<Epoch, KeptProgress>()
  /** In order. */
  readonly raised: number[] = []
  /** What was made durable, in order. */
  readonly order: string[] = []
  full = false
  /** What happens when something has been made durable. */
  behind: (what: string) => void = () => undefined

  did(what: string): void {
    this.order.push(what)
    this.behind(what)
  }
}

/** Three owners from before, and a fourth member to which their slots come. */
class Play {
  readonly clock = new ManualClock()
  readonly owners = [0, 1, 2].map(() => new ScriptedReplica())
  readonly disk: Disk
  readonly store: Store
  readonly handover: Handover
  readonly asked: { member: number; slot: number }[] = []
  /** What the store says of every slot. */
  digest = { hi: 0, lo: 0 }
  /** How much has been done for clients. */
  served = 0
  streaming = false
  progressed = 0
  incarnations = ['a', 'b', 'c', 'd']
  epoch: Epoch = since
  /** A member that owns nothing of what comes, in front of all others in the topology once it is there. */
  readonly stranger = new ScriptedReplica()
  isStrangerThere = false

  constructor(disk: Disk = new Disk(), readQuorum = 2) {
    this.disk = disk
    const self = new ScriptedReplica()
    for (const [member, owner] of [...this.owners, this.stranger].entries()) {
      const page = owner.page.bind(owner)
      owner.page = (request: PageRequest, waiter: PageWaiter, position: number) => {
        this.asked.push({ member, slot: request.slot })
        if (owner.up) page(request, waiter, position)
        else waiter.pageReplied(position, failedPage)
      }
    }
    const routing = (): Routing => {
      const members = this.incarnations.map((incarnation, i) => ({ id: `n${i}`, incarnation }))
      const replicas = [...this.owners, self]
      const first = this.isStrangerThere ? 1 : 0
      if (first > 0) {
        members.unshift({ id: 'a-stranger', incarnation: 's' })
        replicas.unshift(this.stranger)
      }
      const owners = Uint16Array.of(first, first + 1, first + 2)
      const table = { members, ownersPerSlot: 3, owners: () => owners } as unknown as SlotTable
      const [{ epoch }, quorums] = [this, { readQuorum, writeQuorum: 2 }]
      return routingOf({ epoch, table, self: first + 3, replicas, ...quorums, ...noOtherSide })
    }
    this.store = {
      commit: async (records: readonly StoredRecord[]) => {
        if (disk.full) throw new KvError('read-only', 'the disk is full')
        for (const each of records) disk.held.set(nameOf(each.key), each)
      },
      isLost: (slot: Slot) => disk.lost.has(slot),
      floorMs: () => 0,
      digest: () => this.digest,
      scanSlot: () => undefined,
      raiseFloors: async ([floor]: readonly Floor[]) => void disk.raised.push(floor!.floorMs),
      synced: async () => disk.did('synced'),
    } as unknown as Store
    this.handover = new Handover({
      clock: this.clock,
      log: silentLog,
      store: this.store,
      keeper: {
        read: async (name) => disk.kept.get(name),
        write: async (name, progress) => {
          disk.kept.set(name, progress)
          disk.did('progress')
        },
      },
      bytesPerSecond: 1e9,
      routing,
      source: (id) => {
        const { replicas, table } = routing()
        return replicas[table.members.findIndex((member) => member.id === id)] as ScriptedReplica
      },
      served: () => this.served,
      streaming: (on) => {
        this.streaming = on
      },
      progressed: () => this.progressed++,
    })
    void this.handover.run()
  }

  async goOn(ms = 0): Promise<void> {
    for (let passed = 0; passed <= ms; passed += 50) {
      for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve))
      this.clock.advance(Math.min(50, ms - passed))
    }
  }

  get done(): number | undefined {
    return this.handover.progress()?.done
  }

  /** The members that were asked for pages of a slot. */
  askedOf(slot: number): number[] {
    return this.asked.filter((each) => each.slot === slot).map(({ member }) => member)
  }
}

test('a slot is here when it was merged from a read quorum, of pages that hold all that was admitted, and is durable', async () => {
  const play = new Play()
  play.owners[1]!.hold(record('only there', 'v', version(5)))
  play.handover.follow({ since, slots: slots(3, 4, 5), streams: true })
  await play.goOn()
  expect(play.handover.progress()).toMatchObject({ since: 5, slots: 3, done: 3, remainingMs: 0, obstacle: '' })
  for (const slot of [3, 4, 5]) expect(new Set(play.askedOf(slot)).size).toBe(2)
  expect(new Set(play.asked.map(({ member }) => member)).size, 'not always the same two').toBe(3)
  expect(play.owners.flatMap(({ copied }) => copied).every(({ settled }) => settled)).toBe(true)
  expect([...play.disk.held.values()].map(({ value }) => Buffer.from(value).toString())).toEqual(['v'])
  expect(play.disk.order.join()).toMatch(/^(synced,progress,?)+$/)
  expect(play.streaming).toBe(false)
})

test('what is here stays here over a restart and other epochs, but not for another handover, nor if it got lost', async () => {
  const first = new Play()
  first.handover.follow({ since, slots: slots(1, 2, 3), streams: true })
  await first.goOn()
  first.handover.stop()
  const { disk } = first
  disk.lost.add(2 as Slot)
  const second = new Play(disk)
  second.handover.follow({ since, slots: slots(1, 2, 3, 4), streams: true })
  await second.goOn()
  expect(second.asked.map(({ slot }) => slot)).toEqual([4, 4])
  expect(second.handover.progress()).toMatchObject({ done: 3, obstacle: expect.stringContaining('has to be refilled') })
  disk.lost.clear()
  await second.goOn(limits.refillBackoffMsMax)
  expect(second.askedOf(2)).toHaveLength(2)
  second.incarnations = ['A', 'b', 'c', 'd']
  const before = second.asked.length
  second.handover.follow({ since, slots: slots(1, 2, 3, 4), streams: true })
  await second.goOn()
  expect([second.done, second.asked.length]).toEqual([4, before])
  second.handover.follow({ since: 9 as Epoch, slots: slots(1), streams: true })
  await second.goOn()
  expect(second.askedOf(1)).toHaveLength(2)
})

test.each([
  ['behind its records', 'synced', []],
  ['behind the document that names it', 'progress', [2]],
] as const)('a slot that gets lost %s is not here, and comes once more', async (_, behind, kept) => {
  const play = new Play()
  const { disk } = play
  disk.behind = (what) => {
    if (what === behind) disk.lost.add(2 as Slot)
  }
  play.handover.follow({ since, slots: slots(2), streams: true })
  await play.goOn()
  expect(play.handover.progress()).toMatchObject({ done: 0, obstacle: expect.stringContaining('slot 2 is lost here') })
  expect(play.askedOf(2)).toHaveLength(2)
  expect(disk.kept.get(since)?.slots).toEqual(kept)
  disk.behind = () => undefined
  disk.lost.clear()
  await play.goOn(limits.refillBackoffMsMax)
  expect(play.done).toBe(1)
  expect(play.askedOf(2)).toHaveLength(4)
})

test('with too few owners in reach it waits, says for whom, and goes on when one returns', async () => {
  const play = new Play()
  play.owners[0]!.up = false
  play.owners[2]!.up = false
  play.handover.follow({ since, slots: slots(7), streams: true })
  await play.goOn(300)
  expect(play.asked).toEqual([])
  expect(play.handover.progress()).toMatchObject({
    done: 0,
    remainingMs: undefined,
    obstacle: 'slot 7 needs 2 of its owners, and n0, n2 cannot be reached',
  })
  play.owners[2]!.up = true
  play.handover.returned()
  await play.goOn()
  expect(play.handover.progress()).toMatchObject({ done: 1, obstacle: '' })
})

test('half a read quorum counts for nothing when the other half comes from a life that was replaced', async () => {
  const play = new Play()
  play.owners[1]!.up = false
  const [first, , third] = play.owners
  third!.page = (_request, waiter, position) => waiter.pageReplied(position, failedPage)
  play.handover.follow({ since, slots: slots(0), streams: true })
  await play.goOn(50)
  expect(play.askedOf(0)).toContain(0)
  expect(play.done).toBe(0)
  // The one that has been merged is wiped: its copy here no longer stands for one that is there.
  play.incarnations = ['A', 'b', 'c', 'd']
  first!.up = false
  play.owners[1]!.up = true
  play.handover.follow({ since, slots: slots(0), streams: true })
  await play.goOn(200)
  expect(play.done).toBe(0)
  first!.up = true
  play.handover.returned()
  await play.goOn(limits.refillBackoffMsMax)
  expect(play.done).toBe(1)
})

test('a member that joins meanwhile, in front of the others, is not asked in the place of an owner', async () => {
  const play = new Play()
  play.owners[2]!.hold(record('only there', 'v', version(5)))
  // The first one that is asked says nothing.
  play.owners[0]!.page = (_request, _waiter, _position) => undefined
  play.handover.follow({ since, slots: slots(0), streams: true })
  await play.goOn()
  play.isStrangerThere = true
  play.epoch = (since + 1) as Epoch
  play.owners[0]!.up = false
  play.handover.follow({ since, slots: slots(0), streams: true })
  await play.goOn(limits.refillBackoffMsMax)
  expect(new Set(play.askedOf(0))).toEqual(new Set([1, 2]))
  expect(play.done).toBe(1)
})

test('a slot that is taken back meanwhile gets no floor: it may be empty by then, and would deny what it lacks', async () => {
  const play = new Play()
  for (const owner of play.owners) {
    owner.floorMs = 100
    owner.hold(record('k', 'v'.repeat(1_000), version(5)))
  }
  play.handover.bytesPerSecond = 1_000
  play.handover.follow({ since, slots: slots(1), streams: true })
  await play.goOn()
  expect(play.disk.held.size).toBe(1)
  play.handover.follow(undefined)
  await play.goOn(5_000)
  expect(play.disk.raised).toEqual([])
  play.handover.follow({ since: 9 as Epoch, slots: slots(1), streams: true })
  await play.goOn(5_000)
  expect(play.disk.raised).toEqual([100, 100])
})

test('a disk without room delays it, and it says so', async () => {
  const play = new Play()
  play.owners[0]!.hold(record('k', 'v', version(5)))
  play.owners[1]!.hold(record('k', 'v', version(5)))
  play.disk.full = true
  play.handover.follow({ since, slots: slots(1), streams: true })
  await play.goOn(100)
  expect(play.handover.progress()?.obstacle).toContain('the disk is full')
  play.disk.full = false
  await play.goOn(limits.refillBackoffMsMax)
  expect(play.done).toBe(1)
})

test('it keeps to its rate, which may be changed while it runs', async () => {
  const play = new Play()
  for (const owner of play.owners) owner.hold(record('k', 'v'.repeat(10_000), version(5)))
  play.handover.bytesPerSecond = 20_000
  play.handover.follow({ since, slots: slots(...Array.from({ length: 96 }, (_, i) => i)), streams: true })
  // 10 KB from each of two owners, so one slot in a second; those side by side have their first halves first.
  await play.goOn(20_000)
  expect(play.done).toBeLessThanOrEqual(20)
  await play.goOn(20_000)
  expect(play.done).toBeGreaterThan(20)
  expect(play.done).toBeLessThanOrEqual(40)
  expect(play.handover.progress()?.remainingBytes).toBeGreaterThan((96 - play.done!) * 2 * 9_000)
  play.handover.bytesPerSecond = 1e9
  await play.goOn(1_000)
  expect(play.done).toBe(96)
})

test('when the new owners are read nothing is streamed any more', async () => {
  const play = new Play()
  play.handover.follow({ since, slots: slots(1), streams: false })
  await play.goOn(1_000)
  expect(play.asked).toEqual([])
  expect(play.done).toBe(0)
  play.handover.follow(undefined)
  await play.goOn()
  expect(play.handover.progress()).toBeUndefined()
})

test('a lot of slots costs a message for each source, not for each slot', async () => {
  const play = new Play()
  const calls = play.owners.map((owner) => {
    const copy = owner.copy.bind(owner)
    const count = { messages: 0 }
    owner.copy = (ask, answered) => {
      count.messages++
      copy(ask, answered)
    }
    return count
  })
  const many = Array.from({ length: limits.copySlotsMax }, (_, i) => i)
  play.handover.follow({ since, slots: slots(...many), streams: true })
  await play.goOn()
  expect(play.done).toBe(limits.copySlotsMax)
  expect(calls.reduce((sum, { messages }) => sum + messages, 0)).toBeLessThanOrEqual(9)
})

test('progress is made durable now and then, not for each slot, and at the end', async () => {
  const play = new Play()
  for (const owner of play.owners) owner.hold(record('k', 'v'.repeat(100_000), version(5)))
  play.handover.bytesPerSecond = 20_000_000
  play.handover.follow({ since, slots: slots(...Array.from({ length: 200 }, (_, i) => i)), streams: true })
  // 200 KB for each slot: two seconds, and one or two slots to a message, but time moves in steps.
  await play.goOn(12_000)
  expect(play.done).toBe(200)
  expect(play.disk.kept.get(since)?.slots).toHaveLength(200)
  const written = play.disk.order.filter((each) => each === 'progress').length
  expect(written).toBeGreaterThan(1)
  expect(written).toBeLessThanOrEqual(12_000 / limits.handoverProgressMs + 2)
})

test('while clients are served it takes longer', async () => {
  const tookMs = async (isServing: boolean): Promise<number> => {
    const play = new Play()
    for (const owner of play.owners) owner.hold(record('k', 'v'.repeat(100_000), version(5)))
    const { clock } = play
    Object.assign(play.store, {
      commit: async () => {
        clock.advance(10)
        if (isServing) play.served++
      },
    })
    const startMs = clock.nowMs
    play.handover.follow({ since, slots: slots(...Array.from({ length: 20 }, (_, i) => i)), streams: true })
    while (play.done !== 20) await play.goOn(50)
    return clock.nowMs - startMs
  }
  const [alone, beside] = [await tookMs(false), await tookMs(true)]
  expect(beside).toBeGreaterThan(2 * alone)
})
