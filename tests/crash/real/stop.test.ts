import { setTimeout as sleep } from 'node:timers/promises'
import { credentials, Metadata, status } from '@grpc/grpc-js'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { Consistency, KvClient as RawKv } from '@quorumkv/proto/kv/v1/kv'
import { expect, it } from 'vitest'
import { eventually, makeClient, startServer, startServers, type TestServer } from '../../fixtures.js'
import { longForm, Report, seed } from '../report.js'
import { Load } from './load.js'
import { standStill } from './nemesis.js'

const report = new Report('nodes stopped and continued')
const random = new SimRandom(seed)
/** Longer than a write may be under way (2 s) and than a client waits for a silent node (about a second) together. */
const stopMs = longForm ? 30_000 : 4_500

function makeLoad(label: string): Load {
  return new Load({ random: random.fork(label), writers: 16, keysPerWriter: 16, valueCharsMax: 4_000 })
}

it('a node stopped under load and continued: nothing is lost, and what came too late is not done', async () => {
  await using server = await startServer()
  await using client = makeClient([server.address], { timeoutMs: 1_000 })
  const load = makeLoad('one')
  load.run(client)
  await load.progress(300)
  await standStill(server)
  const stoppedMs = performance.now()
  const late = Array.from({ length: 64 }, (_, i) => `late-${i}`)
  const puts = await Promise.allSettled(late.map((key) => client.put(key, 'too late', { timeoutMs: 500 })))
  expect(puts.filter(({ status }) => status === 'fulfilled')).toEqual([])
  const acknowledged = load.acknowledged
  await sleep(Math.max(0, stopMs - (performance.now() - stoppedMs)))
  expect(load.acknowledged).toBe(acknowledged)
  server.signal('SIGCONT')
  await load.progress(300)
  await load.pause()
  await using later = makeClient([server.address])
  expect(await load.check(later), `KV_SEED=${seed}`).toEqual([])
  // Their callers have been told that nobody knows; long before the node went on they were past their limit.
  expect([...(await later.getMany(late)).keys()]).toEqual([])
  report.count('acknowledged operations checked', load.checked)
  report.count('attempts in doubt', load.failed('timeout'))
})

/** What a node answers that was asked while it stood still: the value, or the status of its refusal. */
function ask(server: TestServer, key: string): Promise<string> {
  const raw = new RawKv(server.address, credentials.createInsecure())
  const request = { key: Buffer.from(key), consistency: Consistency.UNSPECIFIED }
  const deadline = Date.now() + stopMs + 20_000
  return new Promise<string>((resolve) => {
    raw.get(request, new Metadata(), { deadline }, (error, response) => {
      resolve(error === null ? response.value.toString() : (status[error.code] ?? String(error.code)))
    })
  }).finally(() => raw.close())
}

it('one of three stopped: the others go on without an error, and it serves nothing stale when it is back', async () => {
  await using cluster = await startServers(3)
  const [first, victim] = cluster.servers
  await using client = makeClient(cluster.addresses)
  await using observer = makeClient([first!.address])
  const load = makeLoad('three')
  load.run(client)
  await load.progress(300)
  await client.put('zombie', 'old')
  const { epoch } = await observer.status(first!.address)
  await standStill(victim!)
  const stoppedMs = performance.now()
  await client.put('zombie', 'new')
  const answer = ask(victim!, 'zombie')
  await load.progress(300)
  await eventually('the others know', async () => {
    const { members } = await observer.status(first!.address)
    return members.find(({ id }) => id === 'n2')?.liveness === 'dead'
  })
  await load.progress(300)
  await sleep(Math.max(0, stopMs - (performance.now() - stoppedMs)))
  victim!.signal('SIGCONT')
  // Its links may have been given up meanwhile: then it says that it cannot know.
  expect(['new', 'UNAVAILABLE']).toContain(await answer)
  await eventually('the others have it back', async () => {
    const { members } = await observer.status(first!.address)
    return members.every(({ liveness }) => liveness === 'alive')
  })
  await load.progress(300)
  await load.pause()
  expect([...load.failures]).toEqual([])
  expect((await observer.status(first!.address)).epoch).toBe(epoch)
  for (const address of cluster.addresses) {
    await using reader = makeClient([address])
    expect(await load.check(reader), `KV_SEED=${seed}`).toEqual([])
  }
  report.count('acknowledged operations checked', load.checked)
})
