import { DigestLevel, type EntryPage, type PeerMessage, ReadStatus } from '@quorumkv/proto/kv/peer/v1/messages'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Epoch, KvError, limits, type NodeId, type Slot } from '../../base/index.js'
import { encodedRecordBytes, RecordFormatError, type StoredRecord } from '../../record/index.js'
import { slotOf } from '../../slots/index.js'
import { itemKind } from '../operations/items.js'
import { emptyPeerMessage } from '../replicas/message-codec.js'
import type { PeerLink } from '../replicas/peer-link.js'
import { itemsOf, record, version } from '../replication.test-support.js'
import { Comparison, twoRoundsMs } from './comparison.test-support.js'

/** Keys of one slot. */
function keysOfSlot(slot: number, count: number): string[] {
  const keys: string[] = []
  for (let i = 0; keys.length < count; i++) if (slotOf(Buffer.from(`key ${i}`)) === slot) keys.push(`key ${i}`)
  return keys
}

/** Records that came from other nodes' stores: replies to reads, and writes. */
function travelled({ sent }: Comparison): number {
  return sent.reduce((sum, { message: { items } }) => {
    return sum + itemsOf(items).filter(({ kind }) => kind === itemKind.readReply || kind === itemKind.write).length
  }, 0)
}

describe('what is made equal', () => {
  test('two replicas that hold any parts of one history become equal, and only what differs travels (property)', async () => {
    const keys = ['a', 'b', 'c', ...keysOfSlot(7, 5)]
    const history = fc.array(
      fc.record({
        key: fc.constantFrom(...keys),
        value: fc.option(fc.string({ maxLength: 3 }), { nil: undefined }),
        holders: fc.constantFrom([0], [1], [0, 1], []),
      }),
      { maxLength: 30 },
    )
    await fc.assert(
      fc.asyncProperty(history, async (writes) => {
        const play = new Comparison(2)
        for (const [i, { key, value, holders }] of writes.entries()) {
          for (const node of holders) play.nodes[node]!.store.hold(record(key, value, version(i + 1)))
        }
        const [a, b] = play.nodes.map(({ store }) => store) as [
          Comparison['nodes'][0]['store'],
          Comparison['nodes'][0]['store'],
        ]
        const differing = new Set([...a.held.keys(), ...b.held.keys()])
        for (const name of differing) if (a.held.get(name)?.lo === b.held.get(name)?.lo) differing.delete(name)
        const newest = new Map([...a.held, ...b.held])
        for (const [name, held] of a.held) if (held.lo > newest.get(name)!.lo) newest.set(name, held)
        play.start(0)
        expect(await play.until(() => play.equal, twoRoundsMs)).toBe(true)
        expect(a.held).toEqual(newest)
        expect(travelled(play)).toBe(differing.size)
        const { recordsPulled, recordsPushed } = play.nodes[0]!.antiEntropy.status()
        await play.advance(0)
        expect(recordsPulled + recordsPushed).toBe(differing.size)
        play.stop()
      }),
      { numRuns: 60 },
    )
  })

  test('a delete that one of three has missed stays a delete', async () => {
    const play = new Comparison(3)
    for (const { store } of play.nodes) store.hold(record('k', 'old', version(1)))
    for (const { store } of play.nodes.slice(0, 2)) store.hold(record('k', undefined, version(2)))
    play.start()
    expect(await play.until(() => play.equal)).toBe(true)
    expect(play.nodes[2]!.store.get(Buffer.from('k'))?.tombstone).toBe(true)
    play.stop()
  })

  test('replicas that are equal exchange one digest and no more, every few seconds', async () => {
    const play = new Comparison(3)
    for (const { store } of play.nodes) for (let i = 0; i < 50; i++) store.hold(record(`k${i}`, 'v', version(i + 1)))
    play.start()
    await play.advance(0)
    expect(play.sent).toHaveLength(2 * 6)
    expect(Math.max(...play.sent.map(({ bytes }) => bytes))).toBeLessThan(60)
    play.sent.length = 0
    await play.advance(10 * limits.antiEntropyIntervalMs, 100)
    expect(play.sent).toHaveLength(10 * 2 * 6)
    expect(play.nodes[0]!.store.scanned).toEqual([])
    play.stop()
  })

  test('a slot with more records than one page is compared page by page', async () => {
    const play = new Comparison(2)
    const keys = keysOfSlot(9, 40)
    for (const [i, key] of keys.entries()) play.nodes[i % 2]!.store.hold(record(key, 'v', version(i + 1)))
    // A page of three: as if the slot held thousands.
    const entries = play.nodes[0]!.remotes[1]!
    const ask = entries.entries.bind(entries)
    entries.entries = (request, answered) => ask({ ...request, entriesMax: 3 }, answered)
    play.start(0)
    expect(await play.until(() => play.equal)).toBe(true)
    expect(play.nodes[0]!.store.held.size).toBe(keys.length)
    expect(play.sent.filter(({ message }) => message.entryRequests.length > 0).length).toBeGreaterThan(5)
    play.stop()
  })

  test('a write that is under way on one of them is not searched for', async () => {
    const play = new Comparison(2)
    play.nodes[0]!.store.hold(record('k', 'v', version(5)))
    play.start(0)
    await play.advance(limits.antiEntropySettleMs / 2)
    play.nodes[1]!.store.hold(record('k', 'v', version(5)))
    await play.advance(limits.antiEntropySettleMs)
    expect(play.sent.some(({ message }) => message.entryRequests.length > 0)).toBe(false)
    expect(play.nodes[0]!.store.scanned).toEqual([])
    expect(play.nodes[0]!.antiEntropy.status().peers[0]).toMatchObject({ differingSlots: 0, obstacle: '' })
    play.stop()
  })
})

/** One key in each of so many slots. */
function keyOfEachSlot(count: number): string[] {
  const bySlot = new Map<number, string>()
  for (let i = 0; bySlot.size < count; i++) bySlot.set(slotOf(Buffer.from(`key ${i}`)), `key ${i}`)
  return [...bySlot.values()]
}

describe('under writes to all slots, that arrive elsewhere a moment later', () => {
  const keys = keyOfEachSlot(200)

  /** Lets them come for so long, each time with a version that the other member gets with the next one. */
  async function writing(play: Comparison, forMs: number, until: () => boolean = () => false): Promise<boolean> {
    for (let ms = 0; ms < forMs; ms += 50) {
      if (until()) return true
      const write = (node: number, at: number): void => {
        for (const key of keys) play.nodes[node]!.store.hold(record(key, 'v', version(at)))
      }
      write(0, 10_000 + play.clock.nowMs + 50)
      write(1, 10_000 + play.clock.nowMs)
      await play.advance(50)
    }
    return until()
  }

  test('few slots are gone through, each time others', async () => {
    const play = new Comparison(2).start(0)
    const rounds = 10
    await writing(play, rounds * limits.antiEntropyIntervalMs)
    for (const { store } of play.nodes) {
      expect(store.scanned.length).toBeLessThan(2 * rounds * limits.antiEntropyDoubtfulMax)
      expect(new Set(store.scanned).size).toBeGreaterThan(2 * limits.antiEntropyDoubtfulMax)
    }
    play.stop()
  })

  test('each of two members has all of them gone through with it, in turns of its own', async () => {
    const play = new Comparison(3).start(0)
    const busy = keys.slice(0, 2 * limits.antiEntropyDoubtfulMax)
    const with2 = new Set<number>()
    const [, second, third] = play.nodes[0]!.remotes
    for (const remote of [second!, third!]) {
      const ask = remote.digests.bind(remote)
      remote.digests = (request, answered) => {
        if (remote === second && request.level === DigestLevel.BUCKETS) with2.add(request.places[0]!)
        ask(request, answered)
      }
    }
    for (let ms = 0; ms < 10 * limits.antiEntropyIntervalMs; ms += 50) {
      for (const [node, { store }] of play.nodes.entries()) {
        for (const key of busy) store.hold(record(key, 'v', version(10_000 + play.clock.nowMs - 50 * node)))
      }
      await play.advance(50)
    }
    expect(with2.size).toBe(busy.length)
    play.stop()
  })

  test('what is missing elsewhere is found, and what is missing in one of these slots in its turn', async () => {
    const play = new Comparison(2).start(0)
    const [quiet] = keysOfSlot(4_001, 1)
    expect(keys.map((key) => slotOf(Buffer.from(key)))).not.toContain(4_001)
    play.nodes[1]!.store.hold(record(quiet!, 'v', version(5)))
    const holds = (key: string): boolean => play.nodes[0]!.store.get(Buffer.from(key)) !== undefined
    const looksMs = limits.antiEntropyLooksMax * limits.antiEntropySettleMs
    expect(await writing(play, looksMs + 500, () => holds(quiet!))).toBe(true)

    const busy = keysOfSlot(slotOf(Buffer.from(keys[150]!)), 2).find((key) => key !== keys[150])!
    play.nodes[1]!.store.hold(record(busy, 'v', version(5)))
    const turns = Math.ceil(keys.length / limits.antiEntropyDoubtfulMax) + 1
    expect(await writing(play, turns * (limits.antiEntropyIntervalMs + looksMs), () => holds(busy))).toBe(true)
    play.stop()
  })
})

describe('slots that are lost', () => {
  test.each(['here', 'there'] as const)('%s: nothing is taken from them or given to them', async (where) => {
    const play = new Comparison(2)
    const [key] = keysOfSlot(3, 1)
    play.nodes[0]!.store.hold(record(key!, 'v', version(5)), record('other', 'v', version(6)))
    play.nodes[where === 'here' ? 0 : 1]!.store.lost.add(3 as Slot)
    play.start()
    expect(await play.until(() => play.nodes[1]!.store.held.size > 0)).toBe(true)
    await play.advance(twoRoundsMs)
    expect(play.nodes[1]!.store.get(Buffer.from(key!))).toBeUndefined()
    expect(play.nodes[1]!.store.get(Buffer.from('other'))).toBeDefined()
    expect(play.nodes[0]!.antiEntropy.status().peers[0]).toMatchObject({ differingSlots: 0, obstacle: '' })
    play.nodes[where === 'here' ? 0 : 1]!.store.lost.clear()
    expect(await play.until(() => play.equal), 'as soon as it is refilled').toBe(true)
    play.stop()
  })
})

describe('what hinders it', () => {
  test('a member that does not answer is given up after a while, and does not keep the others waiting', async () => {
    const play = new Comparison(3)
    play.nodes[0]!.store.hold(record('k', 'v', version(5)))
    play.delivers = (from, to) => from !== 'n2' && to !== 'n2'
    play.start(0)
    const peer = (node: string) => play.nodes[0]!.antiEntropy.status().peers.find((one) => one.node === node)!
    expect(await play.until(() => peer('n2')?.obstacle === 'n2 does not answer', limits.antiEntropyReplyMs)).toBe(true)
    expect(await play.until(() => play.nodes[2]!.store.held.size > 0, twoRoundsMs)).toBe(true)
    expect(peer('n2').comparedMsAgo).toBeUndefined()
    expect(peer('n3').comparedMsAgo).toBeLessThan(limits.antiEntropyIntervalMs + 1_000)
    play.sent.length = 0
    await play.advance(300_000, 250)
    const tries = play.sent.filter(({ to }) => to === 'n2').length
    expect(tries, 'ever less often').toBeLessThan(15)
    expect(tries).toBeGreaterThan(5)
    play.delivers = () => true
    play.connect(0, 1)
    expect(await play.until(() => play.equal, twoRoundsMs), 'at once when it is back').toBe(true)
    play.stop()
  })

  test('a member that comes back is compared with at once', async () => {
    const play = new Comparison(2).start()
    await play.advance(1_000)
    play.nodes[0]!.remotes[1]!.detach()
    play.nodes[0]!.store.hold(record('k', 'v', version(5)))
    await play.advance(100)
    play.connect(0, 1)
    expect(await play.until(() => play.equal, limits.antiEntropySettleMs + 100)).toBe(true)
    play.stop()
  })

  test('under different topologies nothing is compared, and afterwards everything', async () => {
    const play = new Comparison(2)
    play.nodes[0]!.store.hold(record('k', 'v', version(5)))
    play.nodes[1]!.routing = { ...play.nodes[1]!.routing, epoch: 2 as Epoch }
    play.start()
    await play.advance(3_000)
    expect(play.nodes[1]!.store.held.size).toBe(0)
    expect(play.nodes[0]!.antiEntropy.status().peers[0]).toMatchObject({
      comparedMsAgo: undefined,
      obstacle: 'n2 does not answer',
    })
    play.nodes[0]!.routing = { ...play.nodes[0]!.routing, epoch: 2 as Epoch }
    play.nodes[0]!.antiEntropy.wake()
    expect(await play.until(() => play.equal)).toBe(true)
    play.stop()
  })

  test('a topology that changes in the middle ends the exchange, and another one follows', async () => {
    const play = new Comparison(2)
    for (let i = 0; i < 40; i++) play.nodes[0]!.store.hold(record(`k${i}`, 'v', version(i + 1)))
    play.start(0)
    await play.advance(limits.antiEntropySettleMs / 2)
    for (const node of play.nodes) node.routing = { ...node.routing, epoch: 2 as Epoch }
    play.nodes[0]!.antiEntropy.wake()
    await play.advance(limits.antiEntropySettleMs / 2)
    expect(play.nodes[0]!.antiEntropy.status().peers[0]!.obstacle).toBe('the topology has changed')
    expect(await play.until(() => play.equal, twoRoundsMs)).toBe(true)
    play.stop()
  })

  test('where nothing can be stored it is told, and tried again', async () => {
    const play = new Comparison(2)
    play.nodes[1]!.store.hold(record('k', 'v', version(5)))
    play.nodes[0]!.store.failure = new KvError('read-only', 'the disk is full', { outcome: 'not-applied' })
    play.start(0)
    const obstacle = () => play.nodes[0]!.antiEntropy.status().peers[0]!.obstacle
    expect(await play.until(() => obstacle() === 'nothing can be stored here: the disk is full', 5_000)).toBe(true)
    expect(play.nodes[0]!.antiEntropy.status().peers[0]!.differingSlots).toBe(1)
    play.nodes[0]!.store.failure = undefined
    expect(await play.until(() => play.equal, twoRoundsMs)).toBe(true)
    play.stop()
  })

  test('the disk of the other is full: that is told as it is', async () => {
    const play = new Comparison(2)
    play.nodes[0]!.store.hold(record('k', 'v', version(5)))
    play.nodes[1]!.store.failure = new KvError('read-only', 'no room', { outcome: 'not-applied' })
    play.start(0)
    const obstacle = () => play.nodes[0]!.antiEntropy.status().peers[0]!.obstacle
    expect(await play.until(() => obstacle() === 'the disk of n2 is full', 5_000)).toBe(true)
    play.stop()
  })

  test('while the link is busy with what clients want it waits', async () => {
    const play = new Comparison(2)
    play.nodes[0]!.store.hold(record('k', 'v', version(5)))
    let busy = true
    Object.defineProperty(play.nodes[0]!.remotes[1]!, 'busy', { get: () => busy })
    play.start(0)
    await play.advance(limits.antiEntropyReplyMs / 2)
    expect(play.sent).toEqual([])
    busy = false
    expect(await play.until(() => play.equal, limits.antiEntropySettleMs + 500)).toBe(true)
    busy = true
    play.nodes[0]!.store.hold(record('k', 'w', version(6)))
    const obstacle = () => play.nodes[0]!.antiEntropy.status().peers[0]!.obstacle
    expect(await play.until(() => obstacle() === 'the link to n2 is overloaded', twoRoundsMs)).toBe(true)
    play.stop()
  })

  test('it moves no more in a second than its rate', async () => {
    const play = new Comparison(2)
    const large = Array.from({ length: 40 }, (_, i) => record(`k${i}`, 'x'.repeat(1_000_000), version(i + 1)))
    for (const [i, each] of large.entries()) play.nodes[i % 2]!.store.hold(each)
    const bytes = large.reduce((sum, each) => sum + encodedRecordBytes(each), 0)
    play.start(0)
    expect(await play.until(() => play.equal, 60_000)).toBe(true)
    const tookMs = play.clock.nowMs - 1_000 - limits.antiEntropySettleMs
    expect(tookMs).toBeGreaterThanOrEqual((bytes * 1000) / limits.antiEntropyBytesPerSecond)
    expect(tookMs).toBeLessThan((bytes * 1500) / limits.antiEntropyBytesPerSecond)
    play.stop()
  })

  test('no batch has more than so many records, or bytes unless of one record', async () => {
    const play = new Comparison(2)
    const keys = keysOfSlot(5, 300)
    const value = (i: number): string => 'x'.repeat(i < 20 ? 100_000 : 10)
    for (const [i, key] of keys.entries()) play.nodes[1]!.store.hold(record(key, value(i), version(i + 1)))
    const batches: (readonly StoredRecord[])[] = []
    play.nodes[0]!.store.committing = (records) => void batches.push(records)
    play.start(0)
    expect(await play.until(() => play.equal)).toBe(true)
    expect(batches.flat()).toHaveLength(keys.length)
    for (const batch of batches) {
      expect(batch.length).toBeLessThanOrEqual(limits.antiEntropyBatchRecordsMax)
      const bytes = batch.reduce((sum, each) => sum + encodedRecordBytes(each), 0)
      if (batch.length > 1) expect(bytes).toBeLessThanOrEqual(limits.antiEntropyBatchBytesMax)
    }
    play.stop()
  })

  test('a member that is asked for more slots than it will keep in mind refuses the rest', async () => {
    const play = new Comparison(2)
    const kinds: string[] = []
    const asked = limits.antiEntropyScansMax + 10
    for (let i = 0; i < asked; i++) {
      const ask = { level: DigestLevel.BUCKETS, member: 0, places: [i % 4096] }
      play.nodes[0]!.remotes[1]!.digests(ask, ({ kind }) => kinds.push(kind))
    }
    expect(await play.until(() => kinds.length === asked)).toBe(true)
    expect(kinds.filter((kind) => kind === 'failed').length).toBeGreaterThan(0)
    expect(kinds.filter((kind) => kind === 'held').length).toBeGreaterThanOrEqual(limits.antiEntropyScansMax)
  })

  test('a stop ends what waits, in the middle of an exchange as between two', async () => {
    const play = new Comparison(3)
    play.delivers = () => false
    play.start(0, 1)
    await play.advance(100)
    play.delivers = () => true
    play.nodes[2]!.antiEntropy.stop()
    play.start(2)
    play.stop()
    play.stop()
    expect(await play.until(() => play.nodes.every(({ ended }) => ended), 0)).toBe(true)
  })
})

describe('what makes no sense ends the link', () => {
  const digests = { id: 1, level: DigestLevel.ROOT, member: 0, places: [] as number[] }
  const entries = { id: 1, slot: 0, buckets: [0], after: Buffer.alloc(0), entriesMax: 1, bytesMax: 1 }
  test.each<[string, Partial<PeerMessage>]>([
    ['digests for a member that is none', { digestRequests: [{ ...digests, member: 2 }] }],
    ['digests for the member that is asked', { digestRequests: [{ ...digests, member: 1 }] }],
    ['a root of places', { digestRequests: [{ ...digests, places: [1] }] }],
    ['a group that does not exist', { digestRequests: [{ ...digests, level: DigestLevel.LEAVES, places: [64] }] }],
    ['groups twice', { digestRequests: [{ ...digests, level: DigestLevel.LEAVES, places: [3, 3] }] }],
    ['buckets of no slot', { digestRequests: [{ ...digests, level: DigestLevel.BUCKETS }] }],
    ['buckets beyond the last slot', { digestRequests: [{ ...digests, level: DigestLevel.BUCKETS, places: [4096] }] }],
    ['a level that does not exist', { digestRequests: [{ ...digests, level: 9 as DigestLevel }] }],
    ['entries beyond the last slot', { entryRequests: [{ ...entries, slot: 4096 }] }],
    ['a bucket that does not exist', { entryRequests: [{ ...entries, buckets: [64] }] }],
  ])('a request: %s', (_, part) => {
    const [, asked] = new Comparison(2).nodes
    const link = { overloaded: false } as PeerLink
    expect(() => asked!.asked({ ...emptyPeerMessage(), epoch: 1, ...part }, link)).toThrow(RecordFormatError)
  })

  const page = { id: 1, status: ReadStatus.RECORD, keys: ['a', 'b'].map((key) => Buffer.from(key)), more: false }
  const versions = { versionHi: [1, 1], versionLo: [1, 1], versionNode: [1, 1], recordBytes: [9, 9] }
  test.each<[string, Partial<EntryPage>]>([
    ['keys that do not ascend', { keys: [Buffer.from('b'), Buffer.from('a')] }],
    ['fewer versions than keys', { versionLo: [1] }],
    ['a record larger than any message', { recordBytes: [9, limits.messageBytesMax + 1] }],
  ])('an answer: %s', (_, part) => {
    const [asking] = new Comparison(2).nodes
    const message = { ...emptyPeerMessage(), entryPages: [{ ...page, ...versions, ...part }] }
    expect(() => asking!.remotes[1]!.received(message)).toThrow(RecordFormatError)
  })
})

describe('a repair that somebody asks for', () => {
  test('compares at once with every member, and tells what came of it', async () => {
    const play = new Comparison(3).start(0)
    await play.advance(100)
    for (let i = 0; i < 10; i++) play.nodes[1]!.store.hold(record(`k${i}`, 'v', version(i + 1)))
    for (let i = 10; i < 15; i++) play.nodes[0]!.store.hold(record(`k${i}`, 'v', version(i + 1)))
    const { id, done, members } = play.nodes[0]!.antiEntropy.repair({})
    expect([done, members]).toEqual([false, 2])
    const progress = () => play.nodes[0]!.antiEntropy.repairProgress(id)
    expect(await play.until(() => progress().done, 2 * limits.antiEntropySettleMs + 500)).toBe(true)
    expect(progress()).toMatchObject({ members: 2, membersDone: 2, obstacles: [], pulled: 10, pushed: 5 + 15 })
    expect(progress().repaired).toBe(progress().differing)
    expect(play.equal).toBe(true)
    play.stop()
  })

  test('of one slot leaves the others alone, and the round that is due as it was', async () => {
    const play = new Comparison(2).start(0)
    await play.advance(100)
    const [key] = keysOfSlot(3, 1)
    play.nodes[1]!.store.hold(record(key!, 'v', version(5)), record('other', 'v', version(6)))
    const { id } = play.nodes[0]!.antiEntropy.repair({ slot: 3 as Slot, node: 'n2' as NodeId })
    const progress = () => play.nodes[0]!.antiEntropy.repairProgress(id)
    expect(await play.until(() => progress().done, limits.antiEntropySettleMs + 500)).toBe(true)
    expect(progress()).toMatchObject({ members: 1, differing: 1, repaired: 1, pulled: 1, pushed: 0 })
    expect([...play.nodes[0]!.store.held.keys()]).toEqual([Buffer.from(key!).toString('hex')])
    expect(await play.until(() => play.equal, twoRoundsMs)).toBe(true)
    play.stop()
  })

  test('names the members with which it did not work', async () => {
    const play = new Comparison(3).start(0)
    play.nodes[0]!.remotes[2]!.detach()
    const { id } = play.nodes[0]!.antiEntropy.repair({})
    const progress = () => play.nodes[0]!.antiEntropy.repairProgress(id)
    expect(await play.until(() => progress().done, 5_000)).toBe(true)
    expect(progress()).toMatchObject({ membersDone: 2, obstacles: [{ node: 'n3', reason: 'it cannot be reached' }] })
    play.stop()
  })

  test('what makes no sense is refused with the name of the field', () => {
    const { antiEntropy } = new Comparison(3, (member) => member === 1).nodes[0]!
    const failure = (act: () => unknown): unknown => {
      try {
        return act()
      } catch (error) {
        return error
      }
    }
    expect(failure(() => antiEntropy.repair({ slot: 5 as Slot }))).toMatchObject({ field: 'slot' })
    for (const node of ['n1', 'n9']) {
      expect(failure(() => antiEntropy.repair({ node: node as NodeId }))).toMatchObject({ field: 'node' })
    }
    expect(failure(() => antiEntropy.repairProgress(7))).toMatchObject({ field: 'repair_id' })
  })

  test('no more wait than the limit says, and those that are over are forgotten in time', async () => {
    const play = new Comparison(2)
    const { antiEntropy } = play.nodes[0]!
    const ids = Array.from({ length: limits.repairsMax }, () => antiEntropy.repair({}).id)
    expect(() => antiEntropy.repair({})).toThrow(/repairs wait already/)
    play.start(0)
    for (let asked = limits.repairsMax; asked < limits.repairsKeptMax + 3; asked++) {
      await play.until(() => antiEntropy.repairProgress(ids.at(-1)!).done, 1_000)
      ids.push(antiEntropy.repair({}).id)
    }
    expect(() => antiEntropy.repairProgress(ids[2]!)).toThrow(/that this node remembers/)
    expect(antiEntropy.repairProgress(ids[3]!).done).toBe(true)
    play.stop()
    const { done, obstacles } = antiEntropy.repair({})
    expect([done, obstacles]).toEqual([true, [{ node: 'n2', reason: 'this node stops' }]])
  })
})
