import { CopyState, ReadStatus } from '@quorumkv/proto/kv/peer/v1/messages'
import { expect, test, vi } from 'vitest'
import { limits, type Slot } from '../../base/index.js'
import { zeroVersion } from '../../hlc/index.js'
import { RecordFormatError, type StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import type { Store } from '../../store/index.js'
import type { Routing } from '../operations/routing.js'
import { ScanSlices } from '../operations/scan-slices.js'
import { ComparableStore } from '../repair/comparison.test-support.js'
import { emptyPeerMessage } from '../replicas/message-codec.js'
import { PeerLink } from '../replicas/peer-link.js'
import { RemoteReplica } from '../replicas/remote-replica.js'
import { ManualClock, record, version, Wire } from '../replication.test-support.js'
import { CopyServer } from './copy-server.js'
import { type CopyAnswer, type CopyAsk, copyAnswer } from './copy-source.js'

/** One node with `store`, and the way to it from another that holds `own`. */
class Pair {
  readonly clock = new ManualClock()
  readonly store = new ComparableStore()
  readonly own = new ComparableStore()
  /** Of the node that is asked. */
  epoch = 1
  readonly server: CopyServer = new CopyServer(
    this.store as unknown as Store,
    new ScanSlices(this.clock),
    () => ({ epoch: this.epoch }) as Routing,
  )
  readonly replica = new RemoteReplica()
  readonly answers: CopyAnswer[] = []
  readonly link: PeerLink
  /** Messages with answers so far. */
  replies = 0
  epochsDiffer = false
  readonly #wires: readonly [Wire, Wire]

  constructor() {
    const [near, far] = [new Wire(), new Wire()]
    this.#wires = [near, far]
    near.other = far
    far.other = near
    const envelope = { hlc: () => zeroVersion, epoch: () => 1 }
    this.link = new PeerLink(far, this.clock, envelope, {
      message: (message) => {
        if (this.epochsDiffer) this.server.refuse(message, this.link)
        else this.server.serve(message, this.link)
      },
      close: () => undefined,
    })
    const back = new PeerLink(near, this.clock, envelope, {
      message: (message) => {
        this.replies++
        this.replica.received(message)
      },
      close: () => this.replica.detach(),
    })
    this.replica.attach(back, 'a life')
  }

  async ask(slots: readonly Slot[], options: Partial<CopyAsk> = {}): Promise<CopyAnswer | undefined> {
    const copies = slots.map((slot) => ({ slot, digest: this.own.digest(slot), floorMs: this.own.floorMs(slot) }))
    const ask = { slots: copies, after: new Uint8Array(), recordsMax: 100, bytesMax: 1e6, settled: false, ...options }
    this.replica.copy(ask, (answer) => this.answers.push(answer))
    await this.exchange()
    return this.answers.pop()
  }

  async exchange(): Promise<void> {
    for (let turn = 0; turn < 6; turn++) {
      await new Promise((resolve) => setImmediate(resolve))
      this.clock.advance(1)
      for (const wire of this.#wires) wire.deliver()
    }
  }
}

/** A key in each of some slots. */
const keys = Array.from({ length: 12 }, (_, i) => `key ${i}`)
const slots = keys.map((key) => slotOf(Buffer.from(key)))
const records: readonly StoredRecord[] = keys.map((key, i) => record(key, `value ${i}`, version(10 + i)))
const keysOf = (all: readonly StoredRecord[]): string[] => all.map(({ key }) => Buffer.from(key).toString())

test('many slots come in one message, in the order in which they were asked for, each with its floor', async () => {
  const pair = new Pair()
  pair.store.hold(...records.slice(0, 11))
  pair.store.floors.set(slots[3]!, 5)
  const answer = await pair.ask(slots)
  expect(answer!.parts.map((part) => keysOf(part.records))).toEqual([...keys.slice(0, 11).map((key) => [key]), []])
  expect(answer!.parts.map(({ floorMs }) => floorMs)).toEqual(slots.map((_, i) => (i === 3 ? 5 : 0)))
  expect(answer!.parts.some(({ more }) => more)).toBe(false)
  expect(pair.replies).toBe(1)
})

test('what the other holds already does not travel, and is not looked through', async () => {
  const pair = new Pair()
  pair.store.hold(...records)
  pair.own.hold(...records.slice(0, 11), record(keys[11]!, 'older', version(1)))
  const answer = await pair.ask(slots)
  expect(answer!.parts.map(({ kind }) => kind)).toEqual(slots.map((_, i) => (i === 11 ? 'held' : 'equal')))
  expect(new Set(pair.store.scanned)).toEqual(new Set([slots[11]]))
})

test('under a lower floor the same is not the same: what comes to it meanwhile may have been deleted', async () => {
  const pair = new Pair()
  pair.store.hold(...records)
  pair.own.hold(...records)
  pair.store.floors.set(slots[0]!, 7)
  pair.store.floors.set(slots[1]!, 7)
  pair.own.floors.set(slots[0]!, 6)
  pair.own.floors.set(slots[1]!, 7)
  const answer = await pair.ask(slots.slice(0, 3))
  expect(answer!.parts.map(({ kind }) => kind)).toEqual(['held', 'equal', 'equal'])
  expect(answer!.parts[0]!.floorMs).toBe(7)
})

test('a lost slot is no answer, not even where what is left of it is the same; its neighbours are', async () => {
  const pair = new Pair()
  pair.store.hold(...records)
  pair.own.hold(records[1]!)
  pair.store.lost.add(slots[1]!)
  const answer = await pair.ask(slots.slice(0, 3))
  expect(answer!.parts.map(({ kind }) => kind)).toEqual(['held', 'refilling', 'held'])
  expect(keysOf(answer!.parts[1]!.records)).toEqual([])
})

test('a message has its bounds: the rest of the slots is left out, and a slot that is too large goes on behind a key', async () => {
  const pair = new Pair()
  pair.store.hold(...records)
  const bounded = await pair.ask(slots, { recordsMax: 5 })
  expect(bounded!.parts.map((part) => keysOf(part.records))).toEqual(keys.slice(0, 5).map((key) => [key]))
  const small = await pair.ask(slots, { bytesMax: 1 })
  expect(small!.parts).toHaveLength(1)

  const large = new Pair()
  const slot = slots[0]!
  const many = Array.from({ length: 5_000_000 / 1_000 }, (_, i) => `key ${i}`)
    .filter((key) => slotOf(Buffer.from(key)) === slot || slotOf(Buffer.from(key)) === slots[1])
    .concat(keys.slice(0, 2))
  const unique = [...new Set(many)]
  large.store.hold(...unique.map((key) => record(key, 'v', version(5))))
  const inSlot = unique.filter((key) => slotOf(Buffer.from(key)) === slot).sort()
  const got: string[] = []
  let after = new Uint8Array()
  for (let more = true; more; ) {
    const answer = await large.ask([slot, slots[1]!], { recordsMax: 1, after })
    const [part] = answer!.parts
    got.push(...keysOf(part!.records))
    after = new Uint8Array(part!.records.at(-1)!.key)
    more = part!.more
  }
  expect(got).toEqual(inSlot)
})

test('a copy that is to be settled holds what was on its way to the disk when it was asked for', async () => {
  const pair = new Pair()
  let settle: () => void = () => undefined
  const settling = new Promise<void>((resolve) => {
    settle = resolve
  })
  Object.assign(pair.store, { settled: () => settling })
  expect(await pair.ask(slots.slice(0, 1), { settled: true })).toBeUndefined()
  pair.store.hold(records[0]!)
  settle()
  await pair.exchange()
  expect(keysOf(pair.answers[0]!.parts[0]!.records)).toEqual(keys.slice(0, 1))
})

test.each([true, false])(
  'who has followed another topology before it answers gives nothing: it may have emptied what it left (settled: %s)',
  async (settled) => {
    const pair = new Pair()
    pair.store.hold(...records)
    let settle: () => void = () => undefined
    const settling = new Promise<void>((resolve) => {
      settle = resolve
    })
    Object.assign(pair.store, { settled: () => settling })
    const slices = vi.spyOn(ScanSlices.prototype, 'add').mockImplementationOnce(function (this: ScanSlices, work) {
      this.add(() => {
        pair.epoch = 2
        pair.store.held.clear()
        work()
      })
    })
    const answer = pair.ask(slots.slice(0, 1), { settled })
    settle()
    expect(await answer).toEqual({ kind: 'failed', parts: [] })
    slices.mockRestore()
  },
)

test('who goes by another epoch gives nothing, nor does one whose link has ended; each question is answered', async () => {
  const pair = new Pair()
  pair.store.hold(...records)
  pair.epochsDiffer = true
  expect((await pair.ask(slots))!.kind).toBe('failed')
  pair.epochsDiffer = false
  let answered = 0
  const ask = { slots: [{ slot: slots[0]!, digest: { hi: 0, lo: 0 }, floorMs: 0 }], after: new Uint8Array() }
  pair.replica.copy({ ...ask, recordsMax: 1, bytesMax: 1, settled: false }, ({ kind }) => {
    expect(kind).toBe('failed')
    answered++
  })
  pair.replica.detach()
  expect((await pair.ask(slots))!.kind).toBe('failed')
  expect(answered).toBe(1)
})

test('of more questions than may wait the rest is refused at once', async () => {
  const pair = new Pair()
  const one = { slots: [slots[0]!], digestHi: [0], digestLo: [0], floorMs: [0], after: Buffer.alloc(0) }
  const copyRequests = Array.from({ length: limits.antiEntropyScansMax + 2 }, (_, i) => {
    return { id: i + 1, ...one, recordsMax: 1, bytesMax: 1, settled: false }
  })
  const refused: number[] = []
  const outbox = { addCopyReply: ({ status }: { status: ReadStatus }) => refused.push(status) }
  pair.server.serve({ ...emptyPeerMessage(), copyRequests }, { overloaded: false, outbox: () => outbox } as never)
  expect(refused).toEqual([ReadStatus.OVERLOADED, ReadStatus.OVERLOADED])
})

test('questions that wait for a slow disk count among those that may wait', () => {
  const pair = new Pair()
  Object.assign(pair.store, { settled: () => new Promise(() => undefined) })
  const one = { slots: [slots[0]!], digestHi: [0], digestLo: [0], floorMs: [0], after: Buffer.alloc(0) }
  const copyRequests = Array.from({ length: limits.antiEntropyScansMax + 2 }, (_, i) => {
    return { id: i + 1, ...one, recordsMax: 1, bytesMax: 1, settled: true }
  })
  const refused: number[] = []
  const outbox = { addCopyReply: ({ status }: { status: ReadStatus }) => refused.push(status) }
  pair.server.serve({ ...emptyPeerMessage(), copyRequests }, { overloaded: false, outbox: () => outbox } as never)
  expect(refused).toEqual([ReadStatus.OVERLOADED, ReadStatus.OVERLOADED])
})

test('questions and answers that make no sense end the link', () => {
  const pair = new Pair()
  const good = { id: 1, slots: [1], digestHi: [0], digestLo: [0], floorMs: [0], after: Buffer.alloc(0) }
  const rest = { recordsMax: 1, bytesMax: 1, settled: false }
  const many = Array.from({ length: limits.copySlotsMax + 1 }, () => 1)
  for (const bad of [
    { slots: [] },
    { slots: [4096] },
    { slots: many, digestHi: many, digestLo: many, floorMs: many },
    { digestLo: [] },
    { floorMs: [0, 0] },
    { recordsMax: 0 },
  ]) {
    const copyRequests = [{ ...good, ...rest, ...bad }]
    expect(() => pair.server.serve({ ...emptyPeerMessage(), copyRequests }, pair.link)).toThrow(RecordFormatError)
  }
  const reply = { id: 1, status: ReadStatus.RECORD, states: [CopyState.HELD], counts: [0], floorMs: [0] }
  const empty = { records: Buffer.alloc(0), more: false }
  expect(copyAnswer({ ...reply, ...empty }).parts).toHaveLength(1)
  for (const bad of [
    { states: [] as CopyState[] },
    { states: [CopyState.UNSPECIFIED] },
    { counts: [1] },
    { floorMs: [] },
  ]) {
    expect(() => copyAnswer({ ...reply, ...empty, ...bad })).toThrow(RecordFormatError)
  }
})
