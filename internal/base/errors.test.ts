import { expect, test } from 'vitest'
import {
  AssertionError,
  assert,
  exitStatus,
  FatalError,
  invalidArgument,
  KvError,
  limits,
  stacklessError,
  unreachable,
} from './index.js'

test('the three kinds of failure are never taken for one another', () => {
  const expected = new KvError('unavailable', 'no quorum', { outcome: 'unknown' })
  const fatal = new FatalError('disk-failed', 'fsync failed')
  const bug = new AssertionError('wrong')
  expect([expected, fatal, bug].map(({ name }) => name)).toEqual(['KvError', 'FatalError', 'AssertionError'])
  expect(expected).not.toBeInstanceOf(FatalError)
  expect(fatal).not.toBeInstanceOf(KvError)
  expect(bug).not.toBeInstanceOf(KvError)
})

test('bad input names its field and was certainly not applied', () => {
  const error = invalidArgument('ttlMs', 'must be positive')
  expect(error).toMatchObject({ code: 'invalid-argument', field: 'ttlMs', outcome: 'not-applied' })
  expect(error.message).toBe('ttlMs: must be positive')
})

test('a refusal has no stack, and takes none from other errors', () => {
  const refusal = stacklessError('overloaded', 'full', { outcome: 'not-applied' })
  expect(refusal).toBeInstanceOf(KvError)
  expect(refusal.stack).toBe('KvError: full')
  expect(new Error('other').stack).toMatch(/^ +at /m)
})

test('a cause is kept, and none is invented', () => {
  const cause = new Error('EIO')
  expect(new KvError('unavailable', 'x', { cause }).cause).toBe(cause)
  expect(new FatalError('disk-failed', 'x', cause).cause).toBe(cause)
  expect('cause' in new KvError('unavailable', 'x')).toBe(false)
  expect('cause' in new FatalError('corrupt', 'x')).toBe(false)
})

test('a broken assumption throws with its message, a kept one does not', () => {
  expect(() => assert(true, 'fine')).not.toThrow()
  for (const broken of [false, 0, '', undefined, null]) expect(() => assert(broken, 'broken')).toThrow(AssertionError)
  expect(() => unreachable('surprise' as never)).toThrow('surprise')
})

test('exit statuses are those that operators were told, one for each reason', () => {
  expect(exitStatus).toEqual({
    decommissioned: 0,
    usage: 2,
    corrupt: 3,
    'disk-failed': 4,
    'in-use': 5,
    refused: 6,
    bug: 70,
  })
})

test('limits fit into one another: the largest record into a message and a frame, a batch into a message', () => {
  const record = limits.keyBytesMax + limits.valueBytesMax + 28
  expect(record).toBeLessThan(limits.messageBytesMax)
  expect(record).toBeLessThan(limits.logFrameBytesMax)
  expect(limits.batchBytesMax + record).toBeLessThan(limits.messageBytesMax)
  expect(limits.messageBytesMax).toBeLessThan(limits.linkQueueBytesMax)
  expect(limits.logFrameBytesMax).toBeLessThan(limits.logQueueBytesMax)
  expect(limits.requestTimeoutMs).toBeLessThanOrEqual(limits.requestTimeoutMsMax)
})
