import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { credentials, type ServiceError, status } from '@grpc/grpc-js'
import type { KvClient } from '@quorumkv/client'
import { limits } from '@quorumkv/internal/base'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { Consistency, KvClient as RawKv } from '@quorumkv/proto/kv/v1/kv'
import { expect, it, type TestContext } from 'vitest'
import { eventually, makeClient, startServer, type TestServer } from '../../fixtures.js'
import { longForm, Report, seed } from '../report.js'
import { Load } from './load.js'
import { type Fault, Injection, oneThread, startedWith, whyNoStrace } from './strace.js'

const report = new Report('failing system calls')
const random = new SimRandom(seed)

/** Prints why a test cannot run here, and ends it. */
function needStrace(context: TestContext): void {
  const why = whyNoStrace()
  if (why === undefined) return
  process.stdout.write(`failing system calls: skipped, ${why}\n`)
  context.skip(why)
}

function startTraceable(): Promise<TestServer> {
  return startServer({ environment: oneThread, flags: ['--snapshot-wal-bytes', '1MiB'] })
}

function makeLoad(label: string): Load {
  return new Load({ random: random.fork(label), writers: 16, keysPerWriter: 16, valueCharsMax: 8_000 })
}

/** Impatient, so that writers whose node has gone end soon. */
function impatient(server: TestServer): KvClient {
  return makeClient([server.address], { timeoutMs: 1_000 })
}

/** Starts the server again on a sound disk: everything acknowledged is there. */
async function restartAndCheck(server: TestServer, load: Load): Promise<void> {
  server.start([])
  await server.ready()
  await using client = makeClient([server.address])
  expect(await load.check(client), `KV_SEED=${seed}`).toEqual([])
  expect(load.checked).toBe(load.acknowledged)
  report.count('acknowledged operations checked', load.checked)
}

/** The short form takes every other case, beginning with the first or the second. */
function drawn<T>(cases: readonly T[]): T[] {
  return cases.filter((_, i) => longForm || (i + seed) % 2 === 0)
}

const log = 'log/0000000001.log'

it('after one failed fdatasync of the log not one write is acknowledged, though the next would succeed', async (context) => {
  needStrace(context)
  await using server = await startTraceable()
  await using client = impatient(server)
  const load = makeLoad('one')
  load.run(client)
  await load.progress(200)
  await load.pause()
  // A log that falls idle is sealed: that fdatasync is not to be the one that fails.
  await sleep(10 * limits.logSealIdleMs)
  const before = load.acknowledged
  const fault: Fault = { call: 'fdatasync', error: 'EIO', when: '1', path: join(server.dataDir, log) }
  await using injection = await Injection.begin(server, fault)
  load.run(client)
  await eventually('a call has failed', () => injection.failed === 1)
  expect(await server.end()).toEqual({ status: 4, signal: null })
  await load.pause()
  expect(load.acknowledged).toBe(before)
  expect(server.lines.at(-1)).toMatchObject({ msg: 'the node must end', status: 4 })
  report.count('faults')
  await restartAndCheck(server, load)
})

const fatal: [string, Omit<Fault, 'path'>, string][] = [
  ['an fdatasync of the log under load', { call: 'fdatasync', error: 'EIO', when: '30' }, log],
  ['an fdatasync of the log for want of room', { call: 'fdatasync', error: 'ENOSPC', when: '5' }, log],
  ['a write to the log', { call: 'pwrite64', error: 'EIO', when: '10' }, log],
  ["a snapshot's fdatasync", { call: 'fdatasync', error: 'EIO', when: '1' }, 'snapshots/next.tmp'],
  ["the fsync of the snapshots' directory", { call: 'fsync', error: 'EIO', when: '1' }, 'snapshots'],
  ['the fsync of the data directory', { call: 'fsync', error: 'EIO', when: '1' }, '.'],
  ["the clock's fdatasync", { call: 'fdatasync', error: 'EIO', when: '1' }, 'clock.tmp'],
]
it.for(drawn(fatal))(
  '%s fails: the node ends with 4, and what it had acknowledged is there',
  async (fatality, context) => {
    needStrace(context)
    const [name, fault, path] = fatality
    await using server = await startTraceable()
    await using client = impatient(server)
    const load = makeLoad(name)
    load.run(client)
    await load.progress(100)
    await using injection = await Injection.begin(server, { ...fault, path: join(server.dataDir, path) })
    expect(await server.end()).toEqual({ status: 4, signal: null })
    await load.pause()
    expect(injection.failed).toBe(1)
    report.count('faults')
    await restartAndCheck(server, load)
  },
)

const atStart: [string, Fault['call']][] = [
  ['fdatasync', 'fdatasync'],
  ['fsync of a directory', 'fsync'],
]

it.for(drawn(atStart))(
  'the first %s of a start fails: it ends with 4 and serves nothing, and the next start has everything',
  async ([, call], context) => {
    needStrace(context)
    await using server = await startTraceable()
    await using client = impatient(server)
    const load = makeLoad(call)
    load.run(client)
    await load.progress(100)
    await server.kill()
    await client.close()
    await load.pause()
    server.start(startedWith({ call, error: 'EIO', when: '1' }))
    expect(await server.end()).toEqual({ status: 4, signal: null })
    expect(server.lines.some(({ msg }) => msg === 'ready')).toBe(false)
    report.count('faults')
    await restartAndCheck(server, load)
  },
)

/** The gRPC status of a put, as any client sees it. */
async function statusOfPut(server: TestServer): Promise<number> {
  const raw = new RawKv(server.address, credentials.createInsecure())
  const request = { key: Buffer.from('raw'), value: Buffer.from('v'), consistency: Consistency.UNSPECIFIED }
  try {
    return await new Promise((resolve) => {
      raw.put({ ...request, returnPrevious: false }, (error: ServiceError | null) => resolve(error?.code ?? status.OK))
    })
  } finally {
    raw.close()
  }
}

const full: [string, boolean, string | undefined][] = [
  ['no write to the log finds room', true, undefined],
  ['no write at all finds room', false, undefined],
  ['every third write to the log finds no room', true, '3+3'],
]

it.for(drawn(full))(
  '%s: refused as read-only, reads go on, and it heals by itself',
  async ([name, logOnly, when], context) => {
    needStrace(context)
    await using server = await startTraceable()
    await using client = impatient(server)
    const load = makeLoad(name)
    load.run(client)
    await load.progress(100)
    await client.put('before', 'there')
    const path = logOnly ? { path: join(server.dataDir, log) } : {}
    const injection = await Injection.begin(server, {
      call: 'pwrite64',
      error: 'ENOSPC',
      ...(when && { when }),
      ...path,
    })
    await eventually('writes are refused', () => load.failed('read-only') > 50)
    expect(await client.get('before')).toBe('there')
    if (when === undefined) {
      const before = load.acknowledged
      expect(await statusOfPut(server)).toBe(status.FAILED_PRECONDITION)
      expect((await client.status()).storage.readOnly).toBe(true)
      await eventually('more writes are refused', () => load.failed('read-only') > 200)
      expect(load.acknowledged).toBe(before)
    }
    expect(injection.failed).toBeGreaterThan(0)
    report.count('faults', injection.failed)
    await injection.end()
    await load.progress(100)
    await load.pause()
    expect(await load.check(client), `KV_SEED=${seed}`).toEqual([])
    await server.kill()
    await restartAndCheck(server, load)
  },
)
