import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Epoch, Instruments, KvError, limits, type Slot } from '../../base/index.js'
import { silentLog } from '../../env/index.js'
import { compareRecords, encodedRecordBytes, type Floor, floorVersion, type StoredRecord } from '../../record/index.js'
import type { Digest, Store } from '../../store/index.js'
import type { ForgetWaiter } from '../replicas/remote-replica.js'
import { failedPage, type PageRequest, type PageWaiter, refillingPage } from '../replicas/replica.js'
import { nameOf, record, type Scene, scene, version } from '../replication.test-support.js'
import { Refiller } from './refill.js'

/** A store in a Map that has lost some slots, and says in which order what was done. */
class LossyStore {
  readonly held = new Map<string, StoredRecord>()
  readonly lost: Set<Slot>
  readonly done: string[] = []
  failure: KvError | undefined
  floor = 0

  constructor(...lost: number[]) {
    this.lost = new Set(lost as Slot[])
  }

  get lostCount(): number {
    return this.lost.size
  }

  lostSlots(): Slot[] {
    return [...this.lost]
  }

  async commit(records: readonly StoredRecord[]): Promise<unknown> {
    if (this.failure !== undefined) throw this.failure
    for (const each of records) {
      const known = this.held.get(nameOf(each.key))
      if (known === undefined || compareRecords(known, each) < 0) this.held.set(nameOf(each.key), each)
      this.done.push(Buffer.from(each.key).toString())
    }
    return []
  }

  floorMs(): number {
    return this.floor
  }

  digest(): Digest {
    return { hi: 0, lo: 0 }
  }

  /** All of it, as if it were of this slot. */
  scanSlot(_: Slot, visit: (record: StoredRecord) => void): void {
    for (const each of this.held.values()) visit(each)
  }

  async raiseFloors([floor]: readonly Floor[]): Promise<void> {
    this.floor = floor!.floorMs
    this.done.push(`floor ${this.floor}`)
  }

  async refilled(slots: readonly Slot[]): Promise<void> {
    for (const slot of slots) {
      this.lost.delete(slot)
      this.done.push(`slot ${slot}`)
    }
  }

  value(key: string): string | undefined {
    const found = this.held.get(nameOf(Buffer.from(key)))
    return found === undefined ? undefined : Buffer.from(found.value).toString()
  }
}

class Play {
  readonly refiller: Refiller
  readonly forgets: { member: number; slots: readonly Slot[]; waiter: ForgetWaiter }[] = []
  /** Members that forget at once when they are asked. */
  readonly forgetful = new Set<number>()
  /** Who was asked for pages of which slot. */
  readonly pages: [number, number][] = []
  streaming = false
  routing: Scene['routing']
  ended = false
  readonly scene: Scene

  constructor(s: Scene, store: LossyStore, replacesAnother: boolean = false) {
    this.scene = s
    this.routing = s.routing
    for (const [member, replica] of s.replicas.entries()) {
      this.forgetful.add(member)
      const page = replica.page.bind(replica)
      replica.page = (request: PageRequest, waiter: PageWaiter, position: number) => {
        this.pages.push([member, request.slot])
        if (replica.up) page(request, waiter, position)
        else waiter.pageReplied(position, failedPage)
      }
    }
    this.refiller = new Refiller({
      instruments: new Instruments(() => 0),
      clock: s.clock,
      log: silentLog,
      store: store as unknown as Store,
      replacesAnother,
      routing: () => this.routing,
      source: (id) => s.replicas[this.routing.table.members.findIndex((member) => member.id === id)]!,
      served: () => 0,
      streaming: (on) => {
        this.streaming = on
      },
      forget: (member, slots, waiter) => {
        this.forgets.push({ member, slots, waiter })
        if (this.forgetful.has(member)) waiter.forgotten(s.replicas[member]!.up)
      },
    })
  }

  start(): this {
    void this.refiller.refillAll().then(() => {
      this.ended = true
    })
    return this
  }

  /** Until the condition holds, or so much time has passed. */
  async until(condition: () => boolean, withinMs = 60_000, stepMs = 50): Promise<boolean> {
    for (let waitedMs = 0; ; waitedMs += stepMs) {
      await new Promise((resolve) => setImmediate(resolve))
      if (condition()) return true
      if (waitedMs >= withinMs) return false
      this.scene.clock.advance(stepMs)
    }
  }
}

test('a slot is merged from a read quorum of the others, the newest of each key, and only then whole', async () => {
  const s = scene()
  s.replicas[1]!.hold(record('a', 'old', version(5)), record('b', undefined, version(6)))
  s.replicas[2]!.hold(record('a', 'new', version(7)), record('c', 'only here', version(8)))
  const store = new LossyStore(3)
  await store.commit([record('b', 'written meanwhile', version(9)), record('c', 'stale', version(1))])
  const play = new Play(s, store).start()
  expect(await play.until(() => play.ended)).toBe(true)
  expect(['a', 'b', 'c'].map((key) => store.value(key))).toEqual(['new', 'written meanwhile', 'only here'])
  expect(store.done.at(-1)).toBe('slot 3')
  expect(play.refiller.obstacle).toBe('')
})

test('nothing is read before every other member has forgotten, owner or not', async () => {
  const s = scene()
  const store = new LossyStore(3, 4)
  const play = new Play(s, store)
  play.forgetful.delete(2)
  play.start()
  const asked = (): boolean => play.forgets.some(({ member }) => member === 2)
  expect(await play.until(asked)).toBe(true)
  expect(await play.until(() => play.pages.length > 0, 20_000)).toBe(false)
  expect(play.refiller.obstacle).toMatch(/^n2 cannot be reached and may be counting/)
  expect(play.forgets[0]!.slots).toEqual([3, 4])
  expect(play.forgets.filter(({ member }) => member === 1)).toHaveLength(1)
  play.forgets.at(-1)!.waiter.forgotten(true)
  play.forgetful.add(2)
  expect(await play.until(() => play.ended)).toBe(true)
})

test('a member that cannot be reached is not waited for longer than an operation can last', async () => {
  const s = scene({ nodes: 4, r: 2, w: 3 })
  s.replicas[3]!.up = false
  const store = new LossyStore(3)
  const play = new Play(s, store).start()
  expect(limits.refillForgetMs).toBeGreaterThan(limits.requestTimeoutMsMax)
  expect(await play.until(() => play.pages.length > 0, limits.refillForgetMs - 1_000, 1_000)).toBe(false)
  expect(await play.until(() => play.ended, 30_000)).toBe(true)
})

test('a member that comes back is asked at once, however long it was away', async () => {
  const s = scene({ nodes: 4, r: 2, w: 3 })
  s.replicas[3]!.up = false
  const play = new Play(s, new LossyStore(3)).start()
  await play.until(() => false, 5 * limits.refillBackoffMsMax, 1_000)
  const asked = play.forgets.length
  s.replicas[3]!.up = true
  play.refiller.returned()
  expect(await play.until(() => play.forgets.length > asked, 10)).toBe(true)
  expect(await play.until(() => play.ended, 1_000)).toBe(true)
})

test('an owner that fails midway is replaced by another, and nobody is read twice', async () => {
  const s = scene({ nodes: 5, r: 3, w: 3 })
  const many = Array.from({ length: 3 * limits.refillPageEntriesMax }, (_, i) => {
    return record(`k${String(i).padStart(6, '0')}`, 'v', version(i + 1))
  })
  for (const replica of s.replicas) replica.hold(...many)
  const store = new LossyStore(3)
  const play = new Play(s, store).start()
  const first = s.replicas[1]!
  const page = first.page.bind(first)
  first.page = (request, waiter, position) => {
    if (play.pages.filter(([member]) => member === 1).length === 2) first.up = false
    page(request, waiter, position)
  }
  expect(await play.until(() => play.ended)).toBe(true)
  expect(store.held.size).toBe(many.length)
  const asked = [1, 2, 3, 4].map((member) => play.pages.filter(([who]) => who === member).length)
  expect(asked).toEqual([3, 3, 3, 3])
})

test('two of three that have lost the same slot: the third alone does not make it whole', async () => {
  const s = scene()
  s.replicas[1]!.page = (_, waiter, position) => waiter.pageReplied(position, refillingPage)
  const store = new LossyStore(3)
  const play = new Play(s, store).start()
  expect(await play.until(() => store.lostCount === 0, 60_000)).toBe(false)
  expect(play.refiller.obstacle).toBe('slot 3: n1 has lost it too')
})

test('what was asked under one topology is not counted under the next', async () => {
  const s = scene()
  s.replicas[2]!.hold(record('a', 'v', version(5)))
  const store = new LossyStore(3)
  const play = new Play(s, store).start()
  let answer: (() => void) | undefined
  const page = s.replicas[2]!.page.bind(s.replicas[2])
  s.replicas[2]!.page = (request, waiter, position) => {
    answer = () => page(request, waiter, position)
  }
  await play.until(() => answer !== undefined)
  play.routing = { ...s.routing, epoch: 2 as Epoch }
  s.replicas[2]!.page = page
  answer?.()
  await play.until(() => false, 0)
  expect(store.lostCount).toBe(1)
  expect(await play.until(() => play.ended)).toBe(true)
  expect(play.pages.filter(([member]) => member === 1)).toHaveLength(2)
})

test('of pages between which the floor has risen the floor of the first counts: what it dropped may not be on later ones', async () => {
  const s = scene()
  const store = new LossyStore(3)
  store.held.set(nameOf(Buffer.from('c')), record('c', 'dropped there as a tombstone between the pages', version(4)))
  const pages = [
    { records: [record('a', 'v', version(5))], more: true, floorMs: 0 },
    { records: [record('b', 'v', version(6))], more: false, floorMs: 50 },
  ]
  s.replicas[2]!.page = (_request, waiter, position) => {
    waiter.pageReplied(position, { kind: 'held', ...pages.shift()! })
  }
  const play = new Play(s, store).start()
  expect(await play.until(() => play.ended)).toBe(true)
  expect(store.done).toEqual(['a', 'b', 'slot 3'])
})

test('of pages between which the floor has fallen the lower one counts: what the last one lacks was not dropped by the first', async () => {
  const s = scene()
  const store = new LossyStore(3)
  const pages = [
    { records: [record('a', 'v', version(90))], more: true, floorMs: 50 },
    { records: [record('b', 'v', version(91))], more: false, floorMs: 20 },
  ]
  s.replicas[2]!.page = (_request, waiter, position) => {
    waiter.pageReplied(position, { kind: 'held', ...pages.shift()! })
  }
  const play = new Play(s, store).start()
  expect(await play.until(() => play.ended)).toBe(true)
  expect(store.done).toEqual(['a', 'b', 'floor 20', 'slot 3'])
})

test('a slot that others own meanwhile gets no floor: it may be empty by then, and would deny what it lacks', async () => {
  const s = scene({ self: 1 })
  const store = new LossyStore(3)
  const play = new Play(s, store)
  s.replicas[2]!.floorMs = 7
  let answer: (() => void) | undefined
  const page = s.replicas[2]!.page.bind(s.replicas[2])
  s.replicas[2]!.page = (request, waiter, position) => {
    answer = () => page(request, waiter, position)
  }
  play.start()
  await play.until(() => answer !== undefined)
  const table = { ...s.routing.table, owners: () => Uint16Array.of(0, 2), ownsSlot: () => false } as never
  answer!()
  play.routing = { ...s.routing, epoch: 2 as Epoch, table }
  play.refiller.wake()
  await play.until(() => false, 1_000)
  expect(store.done).toEqual([])
})

test('a slot of others stays lost, and the node says so until the topology makes it an owner', async () => {
  const s = scene()
  const store = new LossyStore(3)
  const play = new Play(s, store)
  const table = { ...s.routing.table, owners: s.routing.table.owners, ownsSlot: () => false } as never
  play.routing = { ...s.routing, table }
  play.start()
  await play.until(() => play.refiller.obstacle !== '', 60_000)
  expect(play.refiller.obstacle).toBe('1 of the lost slots belong to other nodes')
  expect(play.streaming, 'links are kept for nothing').toBe(false)
  expect(await play.until(() => play.ended, 60_000)).toBe(false)
  play.routing = { ...s.routing, epoch: 2 as Epoch }
  play.refiller.wake()
  expect(await play.until(() => play.ended, 1_000)).toBe(true)
})

test('a node without other owners is not refilled, and says what is left to do', async () => {
  const store = new LossyStore(3)
  const play = new Play(scene({ nodes: 1, r: 1, w: 1 }), store).start()
  await play.until(() => play.refiller.obstacle !== '')
  expect(play.refiller.obstacle).toMatch(/no other owner.*kv-server repair --accept-loss/)
  expect(store.lostCount).toBe(1)
})

test('a full disk is waited for', async () => {
  const s = scene()
  s.replicas[1]!.hold(record('a', 'v', version(5)))
  const store = new LossyStore(3)
  store.failure = new KvError('read-only', 'the disk is full', { outcome: 'not-applied' })
  const play = new Play(s, store).start()
  await play.until(() => play.refiller.obstacle !== '')
  expect(play.refiller.obstacle).toBe('nothing can be stored here: the disk is full')
  expect(await play.until(() => store.lostCount === 0, 15_000)).toBe(false)
  store.failure = undefined
  expect(await play.until(() => play.ended, 2 * limits.refillBackoffMsMax)).toBe(true)
})

test('it takes no more in a second than its rate', async () => {
  const s = scene()
  const large = Array.from({ length: 40 }, (_, i) => record(`k${i}`, 'x'.repeat(1_000_000), version(i + 1)))
  for (const replica of s.replicas) replica.hold(...large)
  const bytes = 2 * large.reduce((sum, each) => sum + encodedRecordBytes(each), 0)
  for (const replica of s.replicas.slice(1)) {
    // As a real replica does, it keeps to the bytes that it is asked for.
    const page = replica.page.bind(replica)
    replica.page = (request, waiter, position) => page({ ...request, recordsMax: 1 }, waiter, position)
  }
  const play = new Play(s, new LossyStore(3)).start()
  const startMs = s.clock.nowMs
  expect(await play.until(() => play.ended, 60_000, 1)).toBe(true)
  const tookMs = s.clock.nowMs - startMs
  expect(tookMs).toBeGreaterThanOrEqual((bytes * 1000) / limits.refillBytesPerSecond - 1)
  expect(tookMs).toBeLessThan((bytes * 1500) / limits.refillBytesPerSecond)
})

test('a stop ends what waits for an answer, and an answer that never comes is given up', async () => {
  const s = scene()
  s.replicas[1]!.page = () => undefined
  const store = new LossyStore(3)
  const play = new Play(s, store).start()
  expect(await play.until(() => play.refiller.obstacle === 'slot 3: n1 does not answer')).toBe(true)
  expect(s.clock.nowMs).toBeGreaterThanOrEqual(limits.refillReplyMs)
  play.refiller.stop()
  play.refiller.stop()
  expect(await play.until(() => play.ended, 0)).toBe(true)
  expect(store.lostCount).toBe(1)
})

test('whatever was acknowledged with it is back when a slot is whole, whoever else was down or had lost it (property)', async () => {
  const settings = fc
    .integer({ min: 2, max: 7 })
    .chain((n) => fc.record({ n: fc.constant(n), w: fc.integer({ min: Math.floor(n / 2) + 1, max: n }) }))
    .chain(({ n, w }) =>
      fc.record({
        n: fc.constant(n),
        w: fc.constant(w),
        r: fc.integer({ min: n - w + 1, max: n }),
        // Of each write, which of the others took part with this one: at least w - 1 of them.
        writes: fc.array(fc.shuffledSubarray([...Array(n - 1).keys()], { minLength: w - 1 }), { maxLength: 8 }),
        state: fc.array(fc.constantFrom('up', 'up', 'up', 'down', 'lost'), { minLength: n, maxLength: n }),
      }),
    )
  await fc.assert(
    fc.asyncProperty(settings, async ({ n, w, r, writes, state }) => {
      const s = scene({ nodes: n, r, w })
      for (const [i, others] of writes.entries()) {
        for (const other of others) s.replicas[other + 1]!.hold(record(`k${i}`, `v${i}`, version(i + 1)))
      }
      const store = new LossyStore(3)
      const play = new Play(s, store).start()
      for (const [member, replica] of s.replicas.entries()) {
        if (state[member] === 'lost') {
          replica.page = (_, waiter, position) => waiter.pageReplied(position, refillingPage)
        }
        // Down for pages only, so that the refill need not wait until no operation can be left.
        if (state[member] === 'down') replica.page = (_, waiter, position) => waiter.pageReplied(position, failedPage)
      }
      const whole = await play.until(() => play.ended, 300)
      const whatIsUp = state.slice(1).filter((each) => each === 'up').length
      expect(whole).toBe(whatIsUp >= Math.min(r, n - 1))
      play.refiller.stop()
      if (whole) for (const i of writes.keys()) expect(store.value(`k${i}`)).toBe(`v${i}`)
    }),
    { numRuns: 150 },
  )
})

test('a newcomer votes only when its former life, cut off with those who do not know of it, is no quorum any more', async () => {
  for (let n = 2; n <= 7; n++) {
    for (let w = Math.floor(n / 2) + 1; w <= n; w++) {
      // Where one copy is a read quorum nothing can take that from the former life.
      for (let r = Math.max(2, n - w + 1); r <= n; r++) {
        const s = scene({ nodes: n, r, w })
        const play = new Play(s, new LossyStore(3), true).start()
        expect(await play.until(() => play.ended)).toBe(true)
        const know = new Set(play.pages.map(([member]) => member)).size
        const formerSide = 1 + (n - 1 - know)
        expect({ n, r, w, quorum: formerSide >= r || formerSide >= w }).toEqual({ n, r, w, quorum: false })
      }
    }
  }
})

test('a refilled slot has the floor of whom it was refilled from, behind what came from there and before it votes', async () => {
  const s = scene()
  const store = new LossyStore(7)
  for (const replica of s.replicas.slice(1)) {
    replica.automatic = true
    replica.hold(record('live', 'old', version(10)))
    replica.floorMs = 20
  }
  // What the disk had kept, and the others have collected since.
  await store.commit([record('deleted', 'since', version(9)), record('fresh', 'later', version(30))])
  store.done.length = 0
  const play = new Play(s, store).start()
  expect(await play.until(() => play.ended)).toBe(true)
  expect(store.done).toEqual(['live', 'deleted', 'floor 20', 'live', 'slot 7'])
  expect(store.held.get(nameOf(Buffer.from('deleted')))).toMatchObject({ ...floorVersion(20), tombstone: true })
  expect(store.value('fresh')).toBe('later')
})
