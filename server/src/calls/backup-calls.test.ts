import { status } from '@grpc/grpc-js'
import { Cancellation, emptyBytes, KvError, limits, type Slot } from '@quorumkv/internal/base'
import type { Handovers } from '@quorumkv/internal/cluster'
import { hlcOf, hlcToBigint } from '@quorumkv/internal/hlc'
import { encodeRecords, floorTombstone, type StoredRecord } from '@quorumkv/internal/record'
import { slotCount } from '@quorumkv/internal/slots'
import type {
  BackupSlotsRequest,
  BackupSlotsResponse,
  RestoreSlotsRequest,
  RestoreSlotsResponse,
} from '@quorumkv/proto/kv/v1/cluster'
import { expect, test } from 'vitest'
import { anyone, anyonePrincipal } from '../access/principal.js'
import { RateLimit, type Rates } from '../limits/rate-limit.js'
import { BackupCalls } from './backup-calls.js'
import { FakeNode, fakeTopology } from './fake-node.test-support.js'
import { reply, startServices, type TestServices, testClock } from './services.test-support.js'

const record = (key: string, ms = 1_000, value = 'v'): StoredRecord => {
  return {
    ...hlcOf(ms, 0),
    node: 1,
    key: Buffer.from(key),
    tombstone: false,
    expiresAtMs: 0,
    value: Buffer.from(value),
  }
}

const wanted: BackupSlotsRequest = { slot: 0, after: Buffer.alloc(0), knownDigests: Buffer.alloc(0) }

function backup(services: TestServices, more: Partial<BackupSlotsRequest> = {}): Promise<BackupSlotsResponse> {
  return reply((done) => services.cluster.backupSlots({ ...wanted, ...more }, done))
}

function restore(
  services: TestServices,
  records: readonly StoredRecord[],
  more: Partial<RestoreSlotsRequest> = {},
): Promise<RestoreSlotsResponse> {
  const count = records.length
  const request = { records: Buffer.from(encodeRecords(records)), count, highestHlc: 0n, clusterId: '', ...more }
  return reply((done) => services.cluster.restoreSlots(request, done))
}

test('a page of a backup has the records of its slots, and says where the next one begins', async () => {
  const node = new FakeNode()
  node.topology = fakeTopology(1)
  const part = { more: false, floorMs: 0, unchanged: false }
  node.exported = {
    slots: [
      { ...part, slot: 5 as Slot, records: [], unchanged: true, floorMs: 77 },
      { ...part, slot: 6 as Slot, records: [record('a'), record('b')], more: true },
    ],
    next: { slot: 6, after: Buffer.from('b') },
  }
  await using services = await startServices(node)
  const digests = Buffer.from('0102030405060708ffffffff00000000', 'hex')
  const page = await backup(services, { slot: 5, after: Buffer.from('9'), knownDigests: digests })
  expect(page).toMatchObject({ nextSlot: 6, nextAfter: Buffer.from('b'), hlc: hlcToBigint(node.clockReading()) })
  expect(page.clusterId).toBe(node.topology.clusterId)
  expect(page.slots).toEqual([
    { slot: 5, unchanged: true, records: Buffer.alloc(0), count: 0, more: false, floorMs: 77n },
    {
      ...{ slot: 6, unchanged: false, count: 2, more: true, floorMs: 0n },
      records: Buffer.from(encodeRecords([record('a'), record('b')])),
    },
  ])
  const [asked] = node.exports
  expect(asked).toMatchObject({ slot: 5, after: Buffer.from('9'), bytesMax: limits.backupPageBytesMax })
  expect([5, 6, 7].map((slot) => asked!.known(slot as Slot))).toEqual([
    { hi: 0x01020304, lo: 0x05060708 },
    { hi: 0xffffffff, lo: 0 },
    undefined,
  ])
})

test('a low stream rate makes pages small', async () => {
  const node = new FakeNode()
  node.handovers = { streamBytesPerSecond: 40_000 } as Handovers
  await using services = await startServices(node)
  await backup(services)
  expect(node.exports[0]!.bytesMax).toBe(10_000)
})

test('what no backup can mean is refused with the field', async () => {
  await using services = await startServices()
  const refused = async (attempt: Promise<unknown>, field: string): Promise<void> => {
    const error = await attempt.then(
      () => undefined,
      (failure: unknown) => failure,
    )
    expect(error).toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining(field) })
  }
  await refused(backup(services, { slot: slotCount }), 'slot')
  await refused(backup(services, { after: Buffer.alloc(limits.keyBytesMax + 1) }), 'after')
  await refused(backup(services, { knownDigests: Buffer.alloc(9) }), 'known_digests')
  await refused(backup(services, { slot: slotCount - 1, knownDigests: Buffer.alloc(16) }), 'known_digests')
  await refused(restore(services, []), 'count')
  await refused(restore(services, [record('a')], { count: limits.restoreRecordsMax + 1 }), 'count')
  await refused(restore(services, [record('a')], { count: 2 }), 'records')
  await refused(restore(services, [record('a')], { records: Buffer.from('nonsense') }), 'records')
  await refused(restore(services, [floorTombstone(Buffer.from('a'), 5)]), 'records')
  const large = 'x'.repeat(limits.restoreBytesMax / 2)
  await refused(restore(services, [record('a', 1, large), record('b', 1, large)]), 'records')
})

test('restored records reach the node as they are, and what became of them is told', async () => {
  const node = new FakeNode()
  await using services = await startServices(node)
  const records = [record('a'), { ...record('b', 2_000), tombstone: true, value: emptyBytes }]
  expect(await restore(services, records)).toEqual({ stored: 2, superseded: 0, deleted: 0 })
  expect(encodeRecords(node.restored)).toEqual(encodeRecords(records))
  expect(node.observed).toMatchObject([hlcOf(2_000, 0)])
})

test('records for another cluster are refused before anything is stored', async () => {
  const node = new FakeNode()
  node.topology = fakeTopology(1)
  await using services = await startServices(node)
  const refusal = { code: status.INVALID_ARGUMENT, details: expect.stringContaining('clusterId') }
  await expect(restore(services, [record('a')], { clusterId: 'f'.repeat(32) })).rejects.toMatchObject(refusal)
  expect(node.restored).toEqual([])
  const { clusterId } = node.topology
  expect(await restore(services, [record('a')], { clusterId })).toMatchObject({ stored: 1 })
})

test('a stamp that the clock cannot go along with is refused before anything is stored, also where it is yet to come', async () => {
  const node = new FakeNode()
  node.maxObservedMs = 5_000
  await using services = await startServices(node)
  const refusal = { code: status.INVALID_ARGUMENT, details: expect.stringContaining('--max-clock-drift') }
  await expect(restore(services, [record('a'), record('b', 5_001)])).rejects.toMatchObject(refusal)
  const highestHlc = hlcToBigint(hlcOf(6_000, 0))
  await expect(restore(services, [record('a')], { highestHlc })).rejects.toMatchObject(refusal)
  expect(node.restored).toEqual([])
})

test('beyond a few calls at a time the node is overloaded, and whoever is told so comes back', async () => {
  const node = new FakeNode()
  const held: (() => void)[] = []
  node.coordinator!.exportSlots = () => new Promise((resolve) => held.push(() => resolve(node.exported)))
  await using services = await startServices(node)
  const running = Array.from({ length: limits.backupCallsMax }, () => backup(services))
  while (held.length < limits.backupCallsMax) await new Promise((resolve) => setImmediate(resolve))
  await expect(backup(services)).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED })
  for (const release of held) release()
  await Promise.all(running)
  const again = backup(services)
  while (held.length === limits.backupCallsMax) await new Promise((resolve) => setImmediate(resolve))
  held.at(-1)!()
  await again
})

test('a node that fails to read or to store tells it as operations do', async () => {
  const node = new FakeNode()
  await using services = await startServices(node)
  node.failure = new KvError('unavailable', 'too few owners', { outcome: 'unknown' })
  await expect(backup(services)).rejects.toMatchObject({ code: status.UNAVAILABLE })
  await expect(restore(services, [record('a')])).rejects.toMatchObject({ code: status.UNAVAILABLE })
  node.coordinator = undefined
  await expect(backup(services)).rejects.toMatchObject({ code: status.UNAVAILABLE })
  expect(services.bugs).toEqual([])
})

test('whoever waits for the stream rate is told so when its time is over, and holds no place any more', async () => {
  const node = new FakeNode()
  node.handovers = { streamBytesPerSecond: 1 } as Handovers
  const records = [record('a', 1, 'x'.repeat(9_000))]
  node.exported = {
    slots: [{ slot: 0 as Slot, records, more: false, floorMs: 0, unchanged: false }],
    next: { slot: 1, after: emptyBytes },
  }
  const calls = new BackupCalls(testClock)
  const backupWithin = (ms: number, cancellation = new Cancellation()): Promise<BackupSlotsResponse> => {
    const deadlineMs = testClock.monotonicMs() + ms
    return calls.backup(wanted, { node, deadlineMs, cancellation, request: undefined, principal: anyone })
  }
  await backupWithin(5_000)
  const late = Array.from({ length: limits.backupCallsMax }, () => backupWithin(100))
  const refusal = { code: 'overloaded', outcome: 'not-applied', message: expect.stringContaining('1 bytes per second') }
  for (const { status: ended, ...rest } of await Promise.allSettled(late))
    expect({ ended, ...rest }).toMatchObject({ ended: 'rejected', reason: refusal })
  // Those who go away do not wait for their time.
  const gone = Array.from({ length: limits.backupCallsMax }, () => new Cancellation())
  const left = gone.map((cancellation) => backupWithin(3_600_000, cancellation))
  for (const cancellation of gone) cancellation.cancel()
  for (const { status: ended } of await Promise.allSettled(left)) expect(ended).toBe('rejected')
  node.handovers = { streamBytesPerSecond: limits.streamBytesPerSecond } as Handovers
  await backupWithin(5_000)
  expect(node.exports).toHaveLength(2)
})

/** Calls by somebody who goes by these rates, on a clock that stands still. */
function callsAt(rates: Partial<Rates>, node: FakeNode) {
  const clock = { nowMs: 0 }
  const rate = new RateLimit(
    'saver',
    { operationsPerSecond: 0, bytesPerSecond: 0, ...rates },
    { monotonicMs: () => clock.nowMs },
  )
  const calls = new BackupCalls(testClock)
  const scope = () => {
    const deadlineMs = testClock.monotonicMs() + 5_000
    return { node, deadlineMs, cancellation: new Cancellation(), request: undefined, principal: anyonePrincipal(rate) }
  }
  return {
    clock,
    backup: () => calls.backup(wanted, scope()),
    restore: (...records: StoredRecord[]) => {
      const request = {
        records: Buffer.from(encodeRecords(records)),
        count: records.length,
        highestHlc: 0n,
        clusterId: '',
      }
      return calls.restore(request, scope())
    },
  }
}

test('what is restored goes by the rates of who restores it: each record is an operation, and what comes too early is not stored', async () => {
  const node = new FakeNode()
  const refused = (retryAfterMs: number) => ({ code: 'overloaded', outcome: 'not-applied', retryAfterMs })
  const byBytes = callsAt({ bytesPerSecond: 1_000 }, node)
  // More than a second's worth is let through, and paid for afterwards.
  await byBytes.restore(record('a', 1, 'x'.repeat(1_499)), record('b', 2, 'x'.repeat(999)))
  await expect(byBytes.restore(record('c', 3, 'x'.repeat(499)))).rejects.toMatchObject(refused(2_000))
  expect(node.restored).toHaveLength(2)
  byBytes.clock.nowMs += 2_000
  await byBytes.restore(record('c', 3, 'x'.repeat(499)))
  expect(node.restored).toHaveLength(3)
  const byOperations = callsAt({ operationsPerSecond: 10 }, node)
  await byOperations.restore(...Array.from({ length: 8 }, (_, i) => record(`k${i}`)))
  await expect(byOperations.restore(record('l'), record('m'), record('n'))).rejects.toMatchObject(refused(100))
  byOperations.clock.nowMs += 100
  await byOperations.restore(record('l'), record('m'), record('n'))
})

test('pages of a backup go by the rates of who makes it: one operation each, paid for when it is known how large it is, and small at a low rate', async () => {
  const node = new FakeNode()
  const records = [record('a', 1, 'x'.repeat(2_999))]
  node.exported = {
    slots: [{ slot: 0 as Slot, records, more: false, floorMs: 0, unchanged: false }],
    next: { slot: 1, after: emptyBytes },
  }
  const byBytes = callsAt({ bytesPerSecond: 1_000 }, node)
  await byBytes.backup()
  expect(node.exports[0]!.bytesMax).toBe(250)
  await expect(byBytes.backup()).rejects.toMatchObject({ code: 'overloaded', retryAfterMs: 2_001 })
  expect(node.exports).toHaveLength(1)
  const byOperations = callsAt({ operationsPerSecond: 2 }, node)
  for (let i = 0; i < 2; i++) await byOperations.backup()
  await expect(byOperations.backup()).rejects.toMatchObject({ code: 'overloaded', retryAfterMs: 500 })
})
