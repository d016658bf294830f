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
    expect(said(new KvError('unavailable', 'connect ECONNREFUSED'), silent)).toBe(
      'kv: no node answers at 127.0.0.1:6000, b:1: connect ECONNREFUSED. Is a server running there? ' +
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
    [new UsageError('--ttl', 'wrong'), exitStatus.usage, 'invalid-argument'],
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

  const coded = (code: string): Error => Object.assign(new Error(`${code}: it failed`), { code })
  const last = (message: string): KvError =>
    new KvError('timeout', `get not done within 5000 ms (0 attempts; last: ${message})`, { cause: new Error(message) })

  it.each<[string, unknown, typeof reached, RegExp]>([
    ['no server', last('connect ECONNREFUSED 127.0.0.1:1'), silent, /Start one with `kv-server/],
    ['the HTTP port', last('127.0.0.1:8051: Protocol error'), silent, /not that of `--http-addr`/],
    [
      'no kv server',
      new KvError('unavailable', 'is not a QuorumKV node, or knows no sessions'),
      silent,
      /name the port/,
    ],
    ['an unknown name', last('getaddrinfo ENOTFOUND nowhere'), silent, /no host of that name/],
    ['no DNS', last('getaddrinfo EAI_AGAIN nowhere'), silent, /DNS of this machine/],
    ['no route', last('connect EHOSTUNREACH 10.9.9.9:1'), silent, /is the network up/],
    ['a silent port', last('a:1: did not answer within 2000 ms'), silent, /firewall/],
    ['too little time', new KvError('timeout', 'get not done within 1 ms (1 attempt)'), silent, /Allow more time/],
    ['time out later', new KvError('timeout', 'get not done'), reached, /--timeout, or see with `kv status`/],
    ['no quorum', new KvError('unavailable', 'no quorum'), reached, /which members are down/],
    ['overload', new KvError('overloaded', 'x'), reached, /try again later/],
    ['a full disk there', new KvError('read-only', 'x'), reached, /Make room/],
    ['a full disk here', new FailedError('cannot write f', undefined, coded('ENOSPC')), reached, /The disk is full/],
    ['no identity', new KvError('unauthenticated', 'x'), reached, /Show a token that is valid: --token-file/],
    ['no right', new KvError('permission-denied', 'x'), reached, /for a token that may do this/],
    ['a URL', new KvError('invalid-argument', 'x', { field: 'endpoints' }), reached, /without http/],
    ['bytes', new KvError('not-text', 'x'), reached, /--json/],
    ['a fault there', new KvError('internal', 'x'), reached, /log of the node/],
    ['no file', new FailedError('cannot read f', undefined, coded('ENOENT')), reached, /Check the path/],
    ['no permission', new FailedError('cannot read f', undefined, coded('EACCES')), reached, /owner and mode/],
    ['a directory', new FailedError('cannot read f', undefined, coded('EISDIR')), reached, /name a file in it/],
    ['a bad line', new BadInputError(3, 'is not JSON'), reached, /--skip-bad/],
  ])('says what to try next: %s', (_, error, surroundings, hint) => {
    expect(explain(error, surroundings)!.hint).toMatch(hint)
  })

  it('of a wrong command line it does not say that nothing was written', () => {
    expect(said(new KvError('invalid-argument', 'key: x', { field: 'key', outcome: 'not-applied' }))).toBe(
      'kv: key: x.',
    )
  })

  it('says nothing where whoever read the output has gone', () => {
    expect(explain(new OutputClosedError('EPIPE'), reached)).toBeUndefined()
  })
})
