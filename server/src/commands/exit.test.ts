import { AssertionError, FatalError, KvError } from '@quorumkv/internal/base'
import { DiskError } from '@quorumkv/internal/env'
import { expect, test } from 'vitest'
import { exitStatusOf, factsOf } from './exit.js'

test('the end of a node is told in a sentence where its settings are wrong, and with all that is known where they are not', () => {
  const taken = new FatalError('usage', 'cannot listen on 127.0.0.1:1', new Error('EADDRINUSE'))
  expect([exitStatusOf(taken), factsOf(taken)]).toEqual([2, { problem: 'cannot listen on 127.0.0.1:1' }])
  for (const reason of ['in-use', 'refused'] as const)
    expect(factsOf(new FatalError(reason, reason))).toEqual({ problem: reason })
  const setting = new KvError('invalid-argument', 'tls-key: no')
  expect([exitStatusOf(setting), factsOf(setting)]).toEqual([2, { problem: 'tls-key: no' }])
  for (const [error, status] of [
    [new FatalError('corrupt', 'x'), 3],
    [new DiskError('io', 'read', 'x'), 4],
    [new AssertionError('x'), 70],
    ['x', 70],
  ] as const)
    expect([exitStatusOf(error), factsOf(error)]).toEqual([status, { error }])
})
