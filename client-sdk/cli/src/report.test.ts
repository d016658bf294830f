import { KvError } from '@quorumkv/client'
import { describe, expect, it } from 'vitest'
import { exitStatus, FailedError, UsageError } from './exit.js'
import { BadInputError, PutFailedError } from './import/importer.js'
import { OutputClosedError } from './output.js'
import { explain, sentence } from './report.js'

const reached = { endpoints: ['127.0.0.1:50051'], reached: true }
const silent = { endpoints: ['127.0.0.1:6000', 'b:1'], reached: false }
const said = (error: unknown, surroundings = reached): string => sentence(explain(error, surroundings)!)

describe('what is said about a failure', () => {
  it('where no node has ever answered, it asks for the server and tells how to start one', () => {
    expect(said(new KvError('timeout', 'get not done'), silent)).toBe(
      'kv: no node answers at 127.0.0.1:6000, b:1: get not done. Is a server running there? ' +
        'Start one with `kv-server --addr :6000`, or name another with --endpoints.',
    )
    expect(said(new KvError('timeout', 'get not done'))).not.toContain('no node answers')
  })

  it('a failed write says whether it was certainly not applied', () => {
    const failed = (outcome: 'not-applied' | 'unknown') => said(new KvError('unavailable', 'no quorum', { outcome }))
    expect(failed('not-applied')).toContain('Nothing was written.')
    expect(failed('unknown')).toContain('may have been applied')
  })

  it.each([
    [new UsageError('--ttl', 'wrong'), exitStatus.usage, 'usage'],
    [new KvError('invalid-argument', 'key: too long', { field: 'key' }), exitStatus.usage, 'invalid-argument'],
    [new KvError('unavailable', 'x'), exitStatus.failed, 'unavailable'],
    [new KvError('permission-denied', 'x'), exitStatus.failed, 'permission-denied'],
    [new FailedError('x'), exitStatus.failed, 'failed'],
    [new BadInputError(3, 'is not JSON'), exitStatus.failed, 'bad-input'],
    [new PutFailedError(3, new KvError('read-only', 'disk full'), 1000), exitStatus.failed, 'read-only'],
    [new TypeError('x'), exitStatus.failed, 'bug'],
    ['thrown', exitStatus.failed, 'bug'],
  ])('%s exits with %d as %s', (error, status, code) => {
    expect(explain(error, reached)).toMatchObject({ status, code })
  })

  it('says nothing where whoever read the output has gone', () => {
    expect(explain(new OutputClosedError('EPIPE'), reached)).toBeUndefined()
  })
})
