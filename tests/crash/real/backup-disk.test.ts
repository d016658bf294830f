import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it, type TestContext } from 'vitest'
import {
  makeClient,
  makeTemporaryDirectory,
  startKv,
  startServer,
  type TestServer,
  tryCommand,
} from '../../fixtures.js'
import { longForm } from '../report.js'
import { SmallDisk, whyNoSmallDisk } from './small-disk.js'
import { startedWith, whyNoStrace } from './strace.js'

/*
 * `kv backup` on disks that are full, read-only or broken, for real. What it does about each error at each place is tested in
 * client-sdk/cli/src/backup/disk-errors.test.ts, in no time; this is the long form, which sees that the system's errors are those.
 */

let server: TestServer
beforeAll(async () => {
  if (longForm) server = await startServer()
})
afterAll(async () => await server?.[Symbol.asyncDispose]())

function needs(context: TestContext, why: string | undefined): void {
  if (!longForm) context.skip('npm run test:crash -- tests/crash/real/backup-disk.test.ts')
  if (why === undefined) return
  process.stdout.write(`disks of backups: skipped, ${why}\n`)
  context.skip(why)
}

async function backup(under: readonly string[], ...argv: string[]) {
  await using program = startKv([server.address], ['backup', ...argv], {}, under)
  const { status } = await program.end()
  return { status, out: program.output, err: program.diagnostics }
}

async function put(prefix: string, count: number, chars: number): Promise<void> {
  await using client = makeClient([server.address])
  await client.putMany(Array.from({ length: count }, (_, i) => [`${prefix}:${i}`, 'v'.repeat(chars)] as const))
}

it('a disk that is full, and then read-only: the backup before stays whole, comes back, and is gone on from when there is room', async (context) => {
  needs(context, whyNoSmallDisk())
  await using disk = await SmallDisk.make(8)
  const path = join(disk.path, 'backups')
  const files = (): string[] => readdirSync(disk.from('backups'))
  await put('small', 200, 100)
  expect(await backup(disk.under, 'create', path)).toMatchObject({ status: 0 })
  const before = files()
  disk.fill(500_000)
  await put('large', 20, 100_000)
  const full = await backup(disk.under, 'create', path)
  expect(full).toMatchObject({ status: 1, out: '' })
  expect(full.err).toMatch(
    /: write \S+\.0001\.segment: full: ENOSPC: no space left on device, write\. The disk is full/,
  )
  expect(files()).toEqual(before)
  expect(disk.freeBytes).toBeGreaterThan(400_000)
  const [command, ...nsenter] = disk.under
  expect(tryCommand(command!, ...nsenter, 'mount', '-o', 'remount,ro', disk.path)).toBeDefined()
  const refused = await backup(disk.under, 'create', path)
  expect(refused).toMatchObject({ status: 1, err: expect.stringContaining('EROFS: read-only file system') })
  expect(refused.err).toContain('.segment')
  // What is there can be read all the same.
  for (const command of ['list', 'verify', 'restore']) {
    expect(await backup(disk.under, command, path), command).toMatchObject({ status: 0, err: '' })
  }
  expect(tryCommand(command!, ...nsenter, 'mount', '-o', 'remount,rw', disk.path)).toBeDefined()
  disk.relieve()
  expect(await backup(disk.under, 'create', path)).toMatchObject({
    status: 0,
    out: expect.stringContaining('the rest as in'),
  })
  expect(await backup(disk.under, 'verify', path)).toMatchObject({ status: 0 })
})

it('a disk that fails to sync and to read: it is told, and no backup is made, or restored', async (context) => {
  needs(context, whyNoStrace())
  const path = join(makeTemporaryDirectory(), 'backups')
  await put('small', 200, 100)
  expect(await backup([], 'create', path)).toMatchObject({ status: 0 })
  const before = readdirSync(path)
  await put('small', 50, 200)
  for (const [call, told] of [
    ['fdatasync', /: sync \S+\.0001\.segment: io: EIO: i\/o error, fdatasync\. The disk fails/],
    ['pwrite64', /: write \S+\.0001\.segment: io: EIO: i\/o error, write\. The disk fails/],
    ['rename', /: rename \S+\.manifest\.tmp: io: EIO: i\/o error, rename .*\. The disk fails/],
  ] as const) {
    const failed = await backup(startedWith({ call, error: 'EIO' }), 'create', path)
    expect(failed).toMatchObject({ status: 1, out: '', err: expect.stringMatching(told) })
    expect(readdirSync(path)).toEqual(before)
  }
  const segment = before.find((name) => name.endsWith('.segment'))!
  const unreadable = startedWith({ call: 'pread64', error: 'EIO', path: join(path, segment) })
  for (const command of ['verify', 'restore']) {
    const { status, out, err } = await backup(unreadable, command, path)
    expect({ status, out }, command).toEqual({ status: 1, out: '' })
    expect(err).toContain(`${segment} cannot be read: read ${segment}: io: EIO`)
  }
  expect(await backup([], 'create', path)).toMatchObject({ status: 0, out: expect.stringContaining('the rest as in') })
  expect(await backup([], 'verify', path)).toMatchObject({ status: 0 })
})
