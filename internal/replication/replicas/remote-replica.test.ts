import { CopyState, PeerMessage, ReadMode, ReadStatus, WriteVerdict } from '@quorumkv/proto/kv/peer/v1/messages'
import { expect, test } from 'vitest'
import { Instruments, KvError, limits, type NodeId, type Slot } from '../../base/index.js'
import { zeroVersion } from '../../hlc/index.js'
import { compareRecords, floorVersion, RecordFormatError, type StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import type { CommitResult, CommitWaiter, Store } from '../../store/index.js'
import { ItemWriter } from '../operations/items.js'
import { Horizon, noHorizon } from '../repair/horizon.js'
import { ManualClock, nameOf, record, version, Wire } from '../replication.test-support.js'
import { LocalReplica } from './local-replica.js'
import { emptyPeerMessage } from './message-codec.js'
import { PeerLink } from './peer-link.js'
import { RemoteReplica } from './remote-replica.js'
import type { PageReply, ReadReply, WriteReply } from './replica.js'
import { ReplicaServer, type ReplicaServerParts } from './replica-server.js'

/** A store in a Map; commits settle when the test's microtasks run. */
function mapStore(failure?: () => KvError | Error | undefined): Store & { held: Map<string, StoredRecord> } {
  const held = new Map<string, StoredRecord>()
  const merge = (each: StoredRecord, wantPrevious: boolean): CommitResult => {
    const known = held.get(nameOf(each.key))
    if (known !== undefined && compareRecords(known, each) > 0) {
      return { applied: false, seen: known, existed: false, previous: undefined }
    }
    held.set(nameOf(each.key), each)
    const existed = known !== undefined && !known.tombstone
    return { applied: true, seen: known, existed, previous: wantPrevious ? known : undefined }
  }
  return {
    held,
    commit: async (records: readonly StoredRecord[], options?: { wantPrevious?: readonly boolean[] }) => {
      const error = failure?.()
      if (error !== undefined) throw error
      return records.map((each, i) => merge(each, options?.wantPrevious?.[i] === true))
    },
    commitOne: (each: StoredRecord, wantPrevious: boolean, _fresh: boolean, waiter: CommitWaiter) => {
      const error = failure?.()
      if (error instanceof KvError) waiter.commitFailed(error)
      else waiter.committed(merge(each, wantPrevious))
    },
    lostCount: 0,
    isLost: () => false,
    floorMs: () => 0,
    get: (key: Uint8Array) => held.get(nameOf(key)),
    getVersion: (key: Uint8Array) => held.get(nameOf(key)),
    prefetch: () => undefined,
    scanSlot: (_: number, visit: (r: StoredRecord) => void) => {
      for (const each of held.values()) visit(each)
    },
  } as unknown as Store & { held: Map<string, StoredRecord> }
}

function counting(clock: ManualClock): ReplicaServerParts {
  return { clock, instruments: new Instruments(() => 0) }
}

function pair(failure?: () => KvError | Error | undefined, horizon: Horizon = noHorizon) {
  const clock = new ManualClock()
  const [near, far] = [new Wire(), new Wire()]
  near.other = far
  far.other = near
  const store = mapStore(failure)
  const server = new ReplicaServer(counting(clock), store, horizon)
  const replica = new RemoteReplica()
  const envelope = { hlc: () => zeroVersion, epoch: () => 1 }
  const farLink: PeerLink = new PeerLink(far, clock, envelope, {
    message: (message) => server.serve(message, farLink),
    close: () => undefined,
  })
  const link: PeerLink = new PeerLink(near, clock, envelope, {
    message: (message) => replica.received(message),
    close: () => replica.detach(),
  })
  replica.attach(link, 'life 1')
  const exchange = async (): Promise<void> => {
    for (let i = 0; i < 3; i++) {
      clock.advance(0)
      near.deliver()
      await new Promise((resolve) => setImmediate(resolve))
      clock.advance(0)
      far.deliver()
    }
  }
  return { clock, near, far, link, farLink, store, replica, exchange }
}

function writeWaiter(): { replies: WriteReply[]; writeReplied(at: number, reply: WriteReply): void } {
  const replies: WriteReply[] = []
  return { replies, writeReplied: (_, reply) => replies.push(reply) }
}

function readWaiter(): { replies: ReadReply[]; readReplied(at: number, reply: ReadReply): void } {
  const replies: ReadReply[] = []
  return { replies, readReplied: (_, reply) => replies.push(reply) }
}

test('a late fresh write is refused as stale at the horizon, a late repair is not, and the rest of the batch goes on', async () => {
  const { replica, exchange, store } = pair(undefined, new Horizon(() => 1_000, 100))
  const waiters = Array.from({ length: 4 }, writeWaiter)
  replica.write(record('a', 'in time', version(901)), false, waiters[0]!, 0)
  replica.write(record('b', 'late', version(900)), true, waiters[1]!, 0)
  replica.write(record('c', 'repair', version(5)), false, waiters[2]!, 0, true)
  replica.write(record('d', undefined, version(902)), false, waiters[3]!, 0)
  await exchange()
  expect(waiters.map(({ replies }) => replies.map(({ kind }) => kind))).toEqual([
    ['applied'],
    ['stale'],
    ['applied'],
    ['applied'],
  ])
  expect(waiters[1]!.replies[0]!.seen).toEqual(floorVersion(900))
  expect(store.get(Buffer.from('b'))).toBeUndefined()
  replica.write(record('b', 'late alone', version(899)), false, waiters[1]!, 0)
  await exchange()
  expect(waiters[1]!.replies.map(({ kind }) => kind)).toEqual(['stale', 'stale'])
  expect(replica.pending).toBe(0)
})

test('what one turn asks leaves as one message, and every answer finds its question', async () => {
  const { near, replica, exchange, clock } = pair()
  const [w1, w2, r1, r2] = [writeWaiter(), writeWaiter(), readWaiter(), readWaiter()]
  replica.write(record('a', 'one', version(5)), false, w1, 0)
  replica.write(record('b', undefined, version(6)), false, w2, 0)
  clock.advance(0)
  expect(near.sent).toHaveLength(1)
  await exchange()
  expect([w1.replies[0]?.kind, w2.replies[0]?.kind]).toEqual(['applied', 'applied'])
  replica.read(Buffer.from('a'), true, r1, 0)
  replica.read(Buffer.from('b'), false, r2, 0)
  const absent = readWaiter()
  replica.read(Buffer.from('nothing'), true, absent, 0)
  await exchange()
  expect(Buffer.from(r1.replies[0]!.record!.value).toString()).toBe('one')
  expect(r2.replies[0]).toMatchObject({
    kind: 'held',
    record: undefined,
    version: { hi: version(6).hi, lo: version(6).lo },
  })
  expect(absent.replies[0]).toMatchObject({ kind: 'held', version: zeroVersion, record: undefined })
  expect(replica.pending).toBe(0)
})

test('a stale write is told which version beat it, and a replaced record comes back where asked for', async () => {
  const { replica, exchange } = pair()
  const [first, second, third] = [writeWaiter(), writeWaiter(), writeWaiter()]
  replica.write(record('a', 'new', version(9)), false, first, 0)
  await exchange()
  replica.write(record('a', 'old', version(3)), false, second, 0)
  replica.write(record('a', 'newest', version(12)), true, third, 0)
  await exchange()
  expect(second.replies[0]).toMatchObject({ kind: 'stale', seen: { hi: version(9).hi, lo: version(9).lo } })
  expect(third.replies[0]).toMatchObject({ kind: 'applied', existed: true })
  expect(Buffer.from(third.replies[0]!.previous!.value).toString()).toBe('new')
})

test('when the link breaks, writes on their way are lost and reads fail; none waits for the next link', async () => {
  const { near, replica } = pair()
  const [w, r] = [writeWaiter(), readWaiter()]
  replica.write(record('a', 'one', version(5)), false, w, 0)
  replica.read(Buffer.from('a'), true, r, 0)
  near.close('broken')
  expect(w.replies).toMatchObject([{ kind: 'lost' }])
  expect(r.replies).toMatchObject([{ kind: 'failed' }])
  expect(replica.up).toBe(false)
  const late = writeWaiter()
  replica.write(record('a', 'two', version(6)), false, late, 0)
  expect(late.replies).toMatchObject([{ kind: 'refused', code: 'unavailable' }])
})

test('a write that the replica certainly did not log is refused; one of unknown fate ends the link instead', async () => {
  const full = pair(() => new KvError('read-only', 'the disk is full', { outcome: 'not-applied' }))
  const w = writeWaiter()
  full.replica.write(record('a', 'one', version(5)), false, w, 0)
  await full.exchange()
  expect(w.replies).toMatchObject([{ kind: 'refused', code: 'read-only' }])

  const broken = pair(() => new Error('fsync failed'))
  const lost = writeWaiter()
  broken.replica.write(record('a', 'one', version(5)), false, lost, 0)
  await broken.exchange()
  expect(broken.far.closed).toBe('the log failed')
  expect(lost.replies).toEqual([])
})

test.each(['read-only', 'overloaded', 'unavailable', 'closed'] as const)(
  'a write that was certainly not logged because of %s is refused for that reason, here as from afar',
  async (code) => {
    const failure = new KvError(code, 'made to fail', { outcome: 'not-applied' })
    const { replica, exchange, store } = pair(() => failure)
    const [far, near] = [writeWaiter(), writeWaiter()]
    replica.write(record('a', 'one', version(5)), false, far, 0)
    await exchange()
    new LocalReplica(store).write(record('a', 'one', version(5)), false, near, 0)
    await exchange()
    // A store that is closed is that of a node that stops: for the caller, who has closed nothing, it is unavailable.
    const told = { kind: 'refused', code: code === 'closed' ? 'unavailable' : code }
    expect([far.replies, near.replies]).toMatchObject([[told], [told]])
  },
)

test('a request under another epoch is refused as a whole, as what it is, and changes nothing', () => {
  const { store, farLink, far, clock, near, replica } = pair()
  const w = writeWaiter()
  const r = readWaiter()
  const pages: PageReply[] = []
  replica.write(record('a', 'one', version(5)), false, w, 0)
  replica.read(Buffer.from('a'), true, r, 0)
  const request = { slot: 1, prefix: Buffer.alloc(0), after: Buffer.alloc(0), recordsMax: 2, bytesMax: 1_000 }
  replica.page(request, { pageReplied: (_, reply) => pages.push(reply) }, 0)
  clock.advance(0)
  const message = PeerMessage.decode(near.sent.splice(0)[0]!)
  new ReplicaServer(counting(clock), store).refuse(message, farLink)
  clock.advance(0)
  far.deliver()
  expect([...w.replies, ...r.replies, ...pages].map(({ kind }) => kind)).toEqual(Array(3).fill('wrong-epoch'))
  expect(store.held.size).toBe(0)
})

test('a peer that does not read is overloaded, not buffered without end', () => {
  const { near, replica, clock } = pair()
  near.accepting = false
  const big = 'x'.repeat(limits.valueBytesMax)
  const outcomes: WriteReply[] = []
  const waiter = { writeReplied: (_: number, reply: WriteReply) => outcomes.push(reply) }
  for (let i = 0; i < 64; i++) {
    replica.write(record(`k${i}`, big, version(5)), false, waiter, 0)
    clock.advance(0)
  }
  expect(outcomes.length).toBeGreaterThan(0)
  expect(outcomes[0]).toMatchObject({ kind: 'refused', code: 'overloaded' })
})

test('pages of a slot come in byte order, behind the given key, cut at the limits', async () => {
  const { replica, exchange } = pair()
  for (const key of ['b', 'a', 'd', 'c']) replica.write(record(key, key, version(5)), false, writeWaiter(), 0)
  await exchange()
  const pages: PageReply[] = []
  const waiter = { pageReplied: (_: number, reply: PageReply) => pages.push(reply) }
  const request = { slot: 1, prefix: Buffer.alloc(0), after: Buffer.from('a'), recordsMax: 2, bytesMax: 1_000 }
  replica.page(request, waiter, 0)
  await exchange()
  expect(pages[0]!.records.map(({ key }) => Buffer.from(key).toString())).toEqual(['b', 'c'])
  expect(pages[0]!.more).toBe(true)
})

test('a peer that does not read its replies gets refusals instead of values, and its link stays', async () => {
  const { near, far, farLink, clock, store, replica } = pair()
  const big = record('big', 'x'.repeat(limits.valueBytesMax), version(5))
  store.held.set(nameOf(big.key), big)
  far.accepting = false
  const waiter = readWaiter()
  for (let i = 0; i < 60; i++) replica.read(big.key, true, waiter, 0)
  clock.advance(0)
  near.deliver()
  clock.advance(0)
  expect(far.closed).toBeUndefined()
  expect(farLink.queuedBytes).toBeLessThan(limits.linkQueueBytesMax + 3 * limits.valueBytesMax)
  far.accepting = true
  far.handlers.drain()
  far.deliver()
  expect(waiter.replies).toHaveLength(60)
  expect(waiter.replies.filter(({ kind }) => kind === 'failed').length).toBeGreaterThan(10)
  expect(waiter.replies.filter(({ kind }) => kind === 'held').length).toBeGreaterThan(10)
})

/** A write of 'a', and what `more` adds. */
function itemsWith(more: (writer: ItemWriter) => void): Buffer {
  const writer = new ItemWriter()
  writer.addWrite(1, 0, record('a', 'one', version(5)))
  more(writer)
  return Buffer.from(writer.view())
}

test.each([
  ['a slot that does not exist', itemsWith(() => undefined), [{ slot: 5_000 }]],
  ['an item cut short', itemsWith((writer) => writer.addRead(2, ReadMode.FULL, Buffer.from('b'))).subarray(0, -1), []],
  ['a reply', itemsWith((writer) => writer.addWriteReply(2, WriteVerdict.APPLIED, undefined, false, undefined)), []],
])('a request with %s is malformed, and nothing of it is done', (_, items, scans) => {
  const { store, farLink } = pair()
  const message = { ...emptyPeerMessage(), items, scans } as PeerMessage
  expect(() => new ReplicaServer(counting(new ManualClock()), store).serve(message, farLink)).toThrow(RecordFormatError)
  expect(store.held.size).toBe(0)
})

test('a request among replies is malformed', () => {
  const message = { ...emptyPeerMessage(), items: itemsWith(() => undefined) }
  expect(() => new RemoteReplica().received(message)).toThrow(RecordFormatError)
})

test.each([
  ['bytes that are no message', Uint8Array.of(255, 255, 255, 255)],
  ['nothing but a truncated field', Uint8Array.of(9, 1)],
])('%s end the link', (_, bytes) => {
  const { near } = pair()
  near.handlers.message(bytes)
  expect(near.closed).toMatch(/malformed/)
})

test('a replica that has lost a slot says so of reads, pages and writes there, and keeps the writes', async () => {
  const { store, replica, exchange } = pair()
  const kept = record('kept', 'v', version(5))
  const [lost, whole] = [slotOf(kept.key), slotOf(Buffer.from('whole'))]
  Object.assign(store, { lostCount: 1, isLost: (slot: number) => slot === lost })
  const [write, other, full, brief, otherRead] = [
    writeWaiter(),
    writeWaiter(),
    readWaiter(),
    readWaiter(),
    readWaiter(),
  ]
  const pages: PageReply[] = []
  replica.write(kept, false, write, 0)
  replica.write(record('whole', 'v', version(6)), false, other, 0)
  replica.read(kept.key, true, full, 0)
  replica.read(kept.key, false, brief, 0)
  replica.read(Buffer.from('whole'), true, otherRead, 0)
  for (const slot of [lost, whole]) {
    const request = { slot, prefix: Buffer.alloc(0), after: Buffer.alloc(0), recordsMax: 9, bytesMax: 999 }
    replica.page(request, { pageReplied: (_, reply) => pages.push(reply) }, 0)
  }
  await exchange()
  expect([write, other, full, brief, otherRead].map(({ replies }) => replies[0]?.kind)).toEqual([
    'refilling',
    'applied',
    'refilling',
    'refilling',
    'held',
  ])
  expect(pages.map(({ kind }) => kind)).toEqual(['refilling', 'held'])
  expect(store.held.get(nameOf(kept.key))).toEqual(kept)
})

test('a link to another life of the node is given up, and what still comes over it does not bring it back', () => {
  const { replica, link, near, farLink } = pair()
  const write = writeWaiter()
  replica.write(record('a', 'v', version(5)), false, write, 0)
  replica.keepOnly('life 1')
  expect(replica.up).toBe(true)
  replica.keepOnly('life 2')
  expect(replica.up).toBe(false)
  expect(write.replies[0]?.kind).toBe('lost')
  expect(near.closed).toMatch(/has ended/)
  replica.attach(link, 'life 1')
  expect(replica.up).toBe(false)
  // A new link does, whatever life it leads to: who asked may itself have ended since.
  replica.attach(farLink, 'life 1')
  expect(replica.up).toBe(true)
})

test('a node is expected before its first link and after each that broke, until it is given up', () => {
  const { replica, link, farLink } = pair()
  expect(new RemoteReplica().returning).toBe(true)
  expect([replica.up, replica.returning]).toEqual([true, false])
  replica.detach(farLink)
  expect(replica.up).toBe(true)
  replica.detach(link)
  expect([replica.up, replica.returning]).toEqual([false, true])
  replica.giveUp()
  expect(replica.returning).toBe(false)
  replica.attach(farLink, 'life 1')
  expect([replica.up, replica.returning]).toEqual([true, false])
  // Whoever waits for an answer finds that it may come back, and sends what it has to say again.
  const seen: boolean[] = []
  replica.write(record('a', 'v', version(5)), false, { writeReplied: () => seen.push(replica.returning) }, 0)
  replica.keepOnly('life 2')
  expect(seen).toEqual([true])
})

test('who asks a node to forget learns that it has, or that the link broke before it could say so', async () => {
  const { clock, near, far, replica } = pair()
  const told: boolean[] = []
  const waiter = { forgotten: (done: boolean) => told.push(done) }
  replica.forget('n1' as NodeId, 'life 2', [3 as Slot], waiter)
  const { forget } = PeerMessage.decode(near.sent.splice(0)[0]!)
  expect(forget).toMatchObject({ nodeId: 'n1', life: 'life 2', slots: [3] })
  replica.received({ ...emptyPeerMessage(), forgotten: forget!.id })
  expect(told).toEqual([true])
  replica.forget('n1' as NodeId, 'life 2', [3 as Slot], waiter)
  clock.advance(0)
  far.close('broken')
  replica.detach()
  replica.forget('n1' as NodeId, 'life 2', [3 as Slot], waiter)
  expect(told).toEqual([true, false, false])
})

const noFloors = [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 48]

test.each(noFloors)('a reply that tells of a floor at %s is malformed, and nobody is told of it', (floorMs) => {
  const { replica } = pair()
  const told: unknown[] = []
  replica.floors({ slot: 1 as Slot, agreedMs: 0, candidateMs: 5 }, (answer) => told.push(answer))
  replica.digests({ level: 4, member: 0, places: [1] }, (answer) => told.push(answer))
  const copied = { slot: 1 as Slot, digest: { hi: 0, lo: 0 }, floorMs: 0 }
  const ask = { slots: [copied], after: new Uint8Array(0), recordsMax: 1, bytesMax: 1, settled: false }
  replica.copy(ask, (answer) => told.push(answer))
  const digest = { hi: 0, lo: 0 }
  const floors = { agreedHi: digest.hi, agreedLo: digest.lo, candidateHi: 0, candidateLo: 0 }
  const none = Buffer.alloc(0)
  for (const wrong of [
    { floorReplies: [{ id: 1, status: ReadStatus.RECORD, floorMs, horizonMs: 0, ...floors }] },
    { floorReplies: [{ id: 1, status: ReadStatus.RECORD, floorMs: 0, horizonMs: floorMs, ...floors }] },
    { digestReplies: [{ id: 1, status: ReadStatus.RECORD, digests: none, lost: [], floorMs }] },
    {
      copyReplies: [
        {
          id: 1,
          status: ReadStatus.RECORD,
          states: [CopyState.HELD],
          counts: [0],
          floorMs: [floorMs],
          records: none,
          more: false,
        },
      ],
    },
    { pages: [{ id: 1, status: ReadStatus.RECORD, records: none, count: 0, more: false, floorMs }] },
  ]) {
    expect(() => replica.received({ ...emptyPeerMessage(), ...wrong })).toThrow(RecordFormatError)
  }
  expect(told).toEqual([])
})
