import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { expect, it, type TestContext } from 'vitest'
import { eventually, makeClient, runServer, startServer, type TestServer, tryCommand } from '../../fixtures.js'
import { Report, seed } from '../report.js'
import { Load } from './load.js'
import { SmallDisk, whyNoSmallDisk } from './small-disk.js'

const report = new Report('full disks')
const random = new SimRandom(seed)

function makeLoad(label: string, valueCharsMax = 8_000): Load {
  return new Load({ random: random.fork(label), writers: 16, keysPerWriter: 16, valueCharsMax })
}

/** Every key of the paused load, and that every acknowledged operation was looked at. */
async function checkAll(server: TestServer, load: Load): Promise<void> {
  await using client = makeClient([server.address])
  expect(await load.check(client), `KV_SEED=${seed}`).toEqual([])
  expect(load.checked).toBe(load.acknowledged)
}

/** Waits until writes are refused for want of room, and sees that none is acknowledged meanwhile. */
async function seeReadOnly(server: TestServer, load: Load): Promise<void> {
  const before = load.failed('read-only')
  await using client = makeClient([server.address])
  await eventually('it is read-only', async () => (await client.status()).storage.readOnly)
  await eventually('writes are refused', () => load.failed('read-only') > before + 50)
}

/** The file ends where its last frame does: what a short write left behind that has been cut off. */
async function checkCutBack(server: TestServer): Promise<void> {
  const { status, output } = await runServer(['verify', '--data-dir', server.dataDir])
  expect({ status, output }).toEqual({ status: 0, output: expect.stringContaining('log/0000000001.log') })
  expect(output).not.toContain('unfinished write')
}

/** Prints why a test cannot run here, and ends it. */
function skip(context: TestContext, why: string): void {
  process.stdout.write(`full disks: skipped, ${why}\n`)
  context.skip(why)
}

it('a log that may not grow further is cut back behind a short write, to its last whole frame, and goes on when it may', async (context) => {
  const limited = ['sh', '-c', 'ulimit -S -f 12288 && exec "$@"', 'sh']
  if (tryCommand('prlimit', '--version') === undefined) skip(context, 'there is no prlimit')
  // 6 MiB: the log's first 4 MiB are there, and then single groups are written up to the very limit.
  await using server = await startServer({ under: limited })
  await using client = makeClient([server.address])
  const load = makeLoad('limit')
  load.run(client)
  await seeReadOnly(server, load)
  await load.pause()
  await checkAll(server, load)
  // The signal that the system sends on top of the error, SIGXFSZ, has killed nobody.
  await server.kill()
  await checkCutBack(server)
  server.start()
  await server.ready()
  await checkAll(server, load)
  load.run(client)
  await seeReadOnly(server, load)
  expect(tryCommand('prlimit', '--pid', String(server.pid), '--fsize=unlimited:')).toBeDefined()
  await load.progress(200)
  await load.pause()
  await checkAll(server, load)
  await server.kill()
  server.start([])
  await server.ready()
  await checkAll(server, load)
  report.count('acknowledged operations checked', load.checked)
})

it('a disk that fills up under load: read-only until there is room, over a restart too, and nothing is lost', async (context) => {
  const why = whyNoSmallDisk()
  if (why !== undefined) skip(context, why)
  await using disk = await SmallDisk.make(32)
  const flags = ['--snapshot-wal-bytes', '1MiB']
  await using server = await startServer({ under: disk.under, dataDir: join(disk.path, 'data'), flags })
  await using client = makeClient([server.address])
  const snapshots = (): string[] => readdirSync(disk.from('data/snapshots'))
  const load = makeLoad('small disk')
  load.run(client)
  await eventually('there are snapshots', () => snapshots().filter((name) => name.endsWith('.snapshot')).length === 2)
  disk.fill(300_000)
  await seeReadOnly(server, load)
  await load.pause()
  await checkAll(server, load)
  // To the last byte: a start must not need room for anything.
  disk.fill(0)
  await server.kill()
  server.start()
  await server.ready()
  await checkAll(server, load)
  load.run(client)
  await seeReadOnly(server, load)
  expect(snapshots().filter((name) => !name.endsWith('.snapshot'))).toEqual([])
  const { pid } = server
  disk.relieve()
  await load.progress(500)
  await load.pause()
  expect(server.pid).toBe(pid)
  await checkAll(server, load)
  await server.kill()
  server.start()
  await server.ready()
  await checkAll(server, load)
  report.count('acknowledged operations checked', load.checked)
})
