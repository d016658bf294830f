import { expect, test } from 'vitest'
import { type KvError, limits } from '../../base/index.js'
import { applied, nameOf, record, type Scene, scene, version } from '../replication.test-support.js'
import { Coordinator } from './coordinator.js'

const key = Buffer.from('k')
const large = limits.valueBytesMax
const fitting = Math.floor(limits.coordinatedBytesMax / large)

function coordinator({ context, routing }: Scene): Coordinator {
  return new Coordinator({ context, entries: () => 0, dataBytes: () => 0 }, routing)
}

/** How an operation ended, by its code; undefined while it runs. */
function codes(operations: readonly Promise<unknown>[]): Promise<(string | undefined)[]> {
  const running = new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))
  const code = (operation: Promise<unknown>): Promise<string> =>
    operation.then(
      () => 'done',
      (error: KvError) => error.code,
    )
  return Promise.all(operations.map((operation) => Promise.race([code(operation), running])))
}

test('operations are admitted up to the limit; one more is overloaded and not applied, until another has ended', async () => {
  const s = scene()
  const node = coordinator(s)
  const deadlineMs = s.clock.nowMs + 5_000
  const start = (more: number): Promise<unknown> =>
    node.get(key, { consistency: 'quorum', deadlineMs: deadlineMs + more })
  const ended: string[] = []
  const count = (operation: Promise<unknown>): void =>
    void operation.then(
      () => ended.push('done'),
      (error: KvError) => ended.push(`${error.code} ${error.outcome}`),
    )
  count(start(0))
  for (let i = 1; i < limits.coordinatedOpsMax; i++) count(start(5_000))
  await new Promise((resolve) => setImmediate(resolve))
  expect([node.operations, ended]).toEqual([limits.coordinatedOpsMax, []])
  count(start(5_000))
  await new Promise((resolve) => setImmediate(resolve))
  expect([node.operations, ended]).toEqual([limits.coordinatedOpsMax, ['overloaded not-applied']])
  s.clock.advance(5_001)
  count(start(5_000))
  await new Promise((resolve) => setImmediate(resolve))
  expect([node.operations, ended.length]).toEqual([limits.coordinatedOpsMax, 2])
})

test('writes are admitted up to the limit of bytes; one byte more is overloaded', async () => {
  const s = scene()
  const node = coordinator(s)
  const deadlineMs = s.clock.nowMs + 5_000
  const put = (bytes: number): Promise<unknown> =>
    node.put(key, Buffer.alloc(bytes), { consistency: 'quorum', deadlineMs })
  const full = Array.from({ length: fitting - 1 }, () => put(large))
  const left = limits.coordinatedBytesMax - fitting * key.length - (fitting - 1) * large
  expect(await codes([put(left + 1)])).toEqual(['overloaded'])
  const last = put(left)
  expect(await codes([last, ...full.slice(0, 2), put(0)])).toEqual([undefined, undefined, undefined, 'overloaded'])
})

test('reads of a few bytes that bring large values are bounded by the bytes of the values', async () => {
  const s = scene()
  const own = s.replicas[0]!
  own.hold(record('k', 'x'.repeat(large), version(5)))
  own.automatic = true
  const node = coordinator(s)
  const deadlineMs = s.clock.nowMs + 5_000
  const reads = Array.from({ length: fitting + 50 }, () => node.get(key, { consistency: 'quorum', deadlineMs }))
  const ended = await codes(reads)
  expect(ended.filter((code) => code === undefined).length).toBeLessThanOrEqual(fitting)
  expect(ended.filter((code) => code === 'overloaded').length).toBeGreaterThanOrEqual(50)
  // They are not even read where there is no room: reading is what costs.
  expect(own.reads.length).toBeLessThanOrEqual(fitting + 1)
  s.clock.advance(6_000)
  expect(node.operations).toBe(0)
  // All room is given back.
  expect(await codes([node.get(key, { consistency: 'one', deadlineMs: s.clock.nowMs + 5_000 })])).toEqual(['done'])
})

test('values that come from other nodes count as well, and who finds no room lets go', async () => {
  const s = scene()
  const node = coordinator(s)
  const deadlineMs = s.clock.nowMs + 5_000
  const reads = Array.from({ length: fitting + 10 }, () => node.get(key, { consistency: 'quorum', deadlineMs }))
  const own = s.replicas[0]!
  const value = record('k', 'x'.repeat(large), version(5))
  for (const { reply } of own.reads) reply({ kind: 'held', version: value, record: value })
  const ended = await codes(reads)
  expect(ended.filter((code) => code === 'overloaded').length).toBeGreaterThanOrEqual(10)
  expect(node.operations).toBe(ended.filter((code) => code === undefined).length)
})

test('a write whose replaced value finds no room is applied, and its caller is told that it cannot be shown', async () => {
  const s = scene()
  const node = coordinator(s)
  const deadlineMs = s.clock.nowMs + 5_000
  const options = { consistency: 'quorum', deadlineMs, returnPrevious: true } as const
  const writes = Array.from({ length: fitting + 10 }, () => node.put(key, Buffer.from('v'), options))
  const before = record('k', 'x'.repeat(large), version(5))
  for (const { reply } of s.replicas[0]!.writes) reply(applied(version(5), true, before))
  for (const { reply } of s.replicas[1]!.writes) reply(applied(version(5), true, undefined))
  const ended = await codes(writes)
  expect(ended.filter((code) => code === 'overloaded').length).toBeGreaterThanOrEqual(10)
  expect(ended.filter((code) => code === 'done').length).toBeGreaterThan(fitting - 10)
  const told = await writes.at(-1)!.catch((error: KvError) => error)
  expect(told).toMatchObject({ code: 'overloaded', outcome: undefined })
  expect(node.operations).toBe(0)
})

test('records that are restored move the clock above them, and what it cannot follow is not stored', async () => {
  const s = scene()
  for (const replica of s.replicas) replica.automatic = true
  const node = coordinator(s)
  const options = { consistency: 'quorum' as const, deadlineMs: 60_000 }
  const [near, far] = [record('near', 'v', version(9_000)), record('far', 'v', version(30_000))]
  expect(await node.restore([near, record('old', 'v', version(1))], options)).toMatchObject({ stored: 2 })
  expect(s.context.stampMs).toBe(9_000)
  await expect(node.restore([near, far], options)).rejects.toMatchObject({ code: 'unavailable' })
  expect(s.replicas.some(({ held }) => held.has(nameOf(far.key)))).toBe(false)
  expect(node.operations).toBe(0)
})
