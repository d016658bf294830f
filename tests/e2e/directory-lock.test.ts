import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { longForm, makeTemporaryDirectory } from '../fixtures.js'

const children = new Set<ChildProcess>()
afterEach(async () => {
  for (const child of children) await kill(child)
  children.clear()
})

const lockModule = new URL('../../server/dist/data/directory-lock.js', import.meta.url).href
/** Locks the directory that it is given, says how that went, and stays, or gives it back when its input ends. */
const source = `
import { lockDirectory } from ${JSON.stringify(lockModule)}
lockDirectory(process.argv[2]).then(
  (lock) => {
    console.log('locked by ' + process.pid)
    process.stdin.resume().on('end', () => lock.release())
  },
  (error) => console.log(error.reason + ': ' + error.message),
)`

function fresh(): { path: string; program: string } {
  const path = makeTemporaryDirectory()
  const program = join(makeTemporaryDirectory(), 'lock.mjs')
  writeFileSync(program, source)
  return { path, program }
}

interface Starter {
  readonly child: ChildProcess
  /** Its first line. */
  readonly said: Promise<string>
}

type Place = ReturnType<typeof fresh>

function start({ path, program }: Place, wrapper: readonly string[] = []): Starter {
  const [command, ...args] = [...wrapper, process.execPath, program, path]
  const child = spawn(command!, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  children.add(child)
  const said = once(child.stdout!, 'data').then(([data]) => String(data).trim())
  return { child, said }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

const namespaces = ['unshare', '--net', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc']
const { status: unshared } = spawnSync(namespaces[0]!, [...namespaces.slice(1), 'hostname', 'isolated'])
if (unshared !== 0) console.log('skipped: a lock seen from other namespaces, because unshare is not permitted here')
const isolated = [...namespaces, 'sh', '-c', 'hostname isolated && exec "$@"', 'sh']

describe('the lock of a data directory, between processes', () => {
  it('a killed holder holds nothing, at once, and what it left is removed', async () => {
    const place = fresh()
    for (let i = 0; i < 3; i++) {
      const holder = start(place)
      expect(await holder.said).toBe(`locked by ${holder.child.pid}`)
      expect(await start(place).said).toBe(
        `in-use: the data directory ${place.path} is in use by process ${holder.child.pid}`,
      )
      await kill(holder.child)
      const next = start(place)
      expect(await next.said).toBe(`locked by ${next.child.pid}`)
      next.child.stdin!.end()
      await once(next.child, 'exit')
      expect(readdirSync(join(place.path, 'LOCK'))).toEqual([])
    }
  })

  it('a full disk keeps nobody out, and a directory that was taken on one is held', async () => {
    const place = fresh()
    // Every write to a file fails: EFBIG stands for a disk without room.
    const holder = start(place, ['sh', '-c', 'ulimit -f 0 && exec "$@"', 'sh'])
    expect(await holder.said).toBe(`locked by ${holder.child.pid}`)
    expect(readdirSync(join(place.path, 'LOCK'))).toEqual([expect.stringMatching(/\.sock$/)])
    expect(await start(place).said).toContain(`in use by process ${holder.child.pid}`)
  })

  it('a holder that is stopped, and answers nothing, still holds', async () => {
    const place = fresh()
    const holder = start(place)
    await holder.said
    holder.child.kill('SIGSTOP')
    expect(await start(place).said).toContain(`in use by process ${holder.child.pid}`)
  })

  it.skipIf(unshared !== 0)('keeps apart containers that share neither network nor pids', async () => {
    const place = fresh()
    const holder = start(place, isolated)
    expect(await holder.said).toMatch(/^locked by \d$/)
    expect(await start(place).said).toMatch(/in use by process \d on host isolated$/)
    expect(await start(place, isolated).said).toContain('in-use: ')
    await kill(holder.child)
    // What was killed is the process that made the namespaces; the kernel then ends what is inside.
    await expect.poll(() => start(place, isolated).said, { timeout: 10_000 }).toMatch(/^locked/)
  })

  it('of twenty that start at once on what a dead one left, exactly one wins, every time', {
    timeout: 120_000,
  }, async () => {
    const place = fresh()
    for (let round = 0; round < (longForm ? 4 : 2); round++) {
      const starters = Array.from({ length: 20 }, (_, i) => start(place, unshared === 0 && i % 4 === 0 ? isolated : []))
      const said = await Promise.all(starters.map((starter) => starter.said))
      expect(
        said.filter((line) => line.startsWith('locked')),
        said.join('\n'),
      ).toHaveLength(1)
      expect(said.filter((line) => line.startsWith('in-use: '))).toHaveLength(19)
      for (const { child } of starters) await kill(child)
    }
  })
})
