import { expect, test } from 'vitest'
import { KvError, limits } from '../base/index.js'
import { decodeRecords, encodedRecordBytes } from '../record/index.js'
import { put } from './fixture.conformance.js'
import { frameHeaderBytes } from './frame.js'
import { GroupQueue } from './group-queue.js'

const record = put('key', 1, 'x'.repeat(1_000))
const bytes = encodedRecordBytes(record)

test('a commit that no frame can hold is refused by name', () => {
  const queue = new GroupQueue()
  expect(() => queue.groupFor(limits.logFrameBytesMax + 1)).toThrow(
    expect.objectContaining({ code: 'invalid-argument', field: 'records', outcome: 'not-applied' }),
  )
  expect(queue.empty).toBe(true)
})

test('a full queue says overloaded, nothing was written, and takes more when a group has left', () => {
  const queue = new GroupQueue()
  for (let taken = bytes; taken <= limits.logQueueBytesMax; taken += bytes) queue.groupFor(bytes).add(record)
  expect(() => queue.groupFor(bytes)).toThrow(expect.objectContaining({ code: 'overloaded', outcome: 'not-applied' }))
  queue.take()
  queue.groupFor(bytes)
})

test('a group takes what fits into one frame, and the next opens behind it', () => {
  const queue = new GroupQueue()
  const half = Math.floor(limits.logFrameBytesMax / 2)
  const first = queue.groupFor(half)
  while (first.payloadBytes + bytes <= half) first.add(record)
  expect(queue.groupFor(half)).toBe(first)
  while (first.payloadBytes + bytes <= limits.logFrameBytesMax) first.add(record)
  expect(queue.groupFor(bytes)).not.toBe(first)
  expect(queue.take()).toBe(first)
})

test('who waits for all is told behind them, at once where nobody is left, also when they fail', () => {
  const queue = new GroupQueue()
  const told: string[] = []
  const waiter = { durable: () => told.push('commit'), failed: () => told.push('commit failed') }
  queue.whenSettled(() => told.push('nobody'))
  queue.groupFor(bytes).join(waiter)
  const first = queue.take()!
  queue.whenSettled(() => told.push('all, while they are written'))
  expect(told).toEqual(['nobody'])
  first.durable()
  queue.recycle(first)
  queue.whenSettled(() => told.push('nobody any more'))
  queue.groupFor(bytes).join(waiter)
  queue.whenSettled(() => told.push('all that failed'))
  queue.rejectAll(new KvError('closed', 'over'))
  expect(told.splice(0)).toEqual([
    ...['nobody', 'commit', 'all, while they are written'],
    ...['nobody any more', 'commit failed', 'all that failed'],
  ])
})

test('a group that is used again holds nothing of its former life', () => {
  const queue = new GroupQueue()
  const told: string[] = []
  const waiter = (name: string) => ({
    durable: (sequence: number) => told.push(`${name} ${sequence}`),
    failed: (error: KvError) => told.push(`${name} ${error.code}`),
  })
  const group = queue.groupFor(bytes)
  group.add(record)
  group.join(waiter('first'))
  group.join(waiter('second'))
  expect(queue.take()).toBe(group)
  group.frame(7, 1, 0)
  group.durable()
  queue.recycle(group)

  expect(queue.groupFor(bytes), 'its buffer is not allocated anew').toBe(group)
  group.add(put('other', 2))
  group.join(waiter('third'))
  const { bytes: frame } = group.frame(8, 1, 0)
  expect(decodeRecords(frame.subarray(frameHeaderBytes))).toEqual([put('other', 2)])
  queue.rejectAll(new KvError('closed', 'over'))
  expect(told).toEqual(['first 7', 'second 7', 'third closed'])
  expect(queue.empty).toBe(true)
})

test('the commits of the next group may wait for more, unless it is full or somebody waits for all of them', () => {
  const queue = new GroupQueue()
  const waiter = { durable: () => undefined, failed: () => undefined }
  expect(queue.mayWait).toBe(0)
  queue.groupFor(bytes).join(waiter)
  queue.groupFor(bytes).join(waiter)
  expect(queue.mayWait).toBe(2)
  queue.whenSettled(() => undefined)
  expect(queue.mayWait, 'who waits for all brings nothing').toBe(0)
  queue.take()!.durable()
  queue.groupFor(bytes).join(waiter)
  expect(queue.mayWait, 'that was the former group').toBe(1)

  while (queue.groupFor(bytes).fits(2 * bytes)) queue.groupFor(bytes).add(record)
  queue.groupFor(limits.logFrameBytesMax).join(waiter)
  expect(queue.mayWait, 'nobody can join the full one').toBe(0)
  queue.whenSettled(() => undefined)
  queue.take()!.durable()
  expect(queue.mayWait, 'who waits for all waits for this one as well').toBe(0)
  queue.rejectAll(new KvError('closed', 'over'))
  queue.groupFor(bytes).join(waiter)
  expect(queue.mayWait).toBe(1)
})

test('who waits for all that is being written holds up nobody behind it', () => {
  const queue = new GroupQueue()
  const waiter = { durable: () => undefined, failed: () => undefined }
  queue.groupFor(bytes).join(waiter)
  const written = queue.take()!
  queue.whenSettled(() => undefined)
  queue.groupFor(bytes).join(waiter)
  expect(queue.mayWait).toBe(1)
  written.durable()
})
