import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePorts, ServerGroup } from './server-group.js'
import { ServerError, type ServerSpec } from './server-process.js'

const never = new AbortController().signal
let parent = ''

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'quorumkv-group-'))
})

afterEach(() => {
  rmSync(parent, { recursive: true, force: true })
})

/** A server that is a line of JavaScript. */
function fake(id: string, script: string): ServerSpec {
  return { id, address: '127.0.0.1:1', command: process.execPath, args: ['-e', script], readyText: 'at your service' }
}

const serves = "console.log('at your service'); setInterval(() => {}, 1000)"

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

async function failureOf(group: ServerGroup): Promise<unknown> {
  if (!group.failed.aborted) await once(group.failed, 'abort')
  return group.failed.reason
}

test('a group that is stopped leaves neither processes nor data behind', async () => {
  const group = await ServerGroup.start(parent, (started) => {
    started.add(fake('a', serves))
    started.add(fake('b', serves.replace('console.log', 'console.error')))
    return started.ready(never)
  })
  const pids = group.processes.map(({ pid }) => pid)
  expect(pids).toHaveLength(2)
  expect(existsSync(group.directory)).toBe(true)
  await Promise.all([group.stop(), group.stop()])
  expect(pids.filter(isRunning)).toEqual([])
  expect(await readdir(parent)).toEqual([])
  expect(group.failed.aborted).toBe(false)
})

test('a server that ends before it serves fails the start, with its log, and the others are stopped', async () => {
  let pids: number[] = []
  const start = ServerGroup.start(parent, (group) => {
    group.add(fake('well', serves))
    group.add(fake('ill', "console.error('no such option'); process.exit(3)"))
    pids = group.processes.map(({ pid }) => pid)
    return group.ready(never)
  })
  await expect(start).rejects.toThrow(/^ill ended with 3 before it was ready; its log ends with:\nno such option$/)
  await expect(start).rejects.toBeInstanceOf(ServerError)
  expect(pids.filter(isRunning)).toEqual([])
  expect(await readdir(parent)).toEqual([])
})

test('a program that is not there fails the start', async () => {
  const start = ServerGroup.start(parent, (group) => {
    group.add({ ...fake('absent', ''), command: 'no-such-program-anywhere' })
    return group.ready(never)
  })
  await expect(start).rejects.toThrow('absent could not be started')
})

test('a server that says nothing is not waited for without end', async () => {
  const start = ServerGroup.start(parent, async (group) => {
    await group.add(fake('mute', 'setInterval(() => {}, 1000)')).ready(never, 50)
  })
  await expect(start).rejects.toThrow('mute was not ready within 0.05 s')
})

test('a start that is given up stops what it had started', async () => {
  const asked = new AbortController()
  let pids: number[] = []
  const start = ServerGroup.start(parent, (group) => {
    group.add(fake('mute', 'setInterval(() => {}, 1000)'))
    pids = group.processes.map(({ pid }) => pid)
    asked.abort(new Error('ended by SIGINT'))
    return group.ready(asked.signal)
  })
  await expect(start).rejects.toThrow('ended by SIGINT')
  expect(pids.filter(isRunning)).toEqual([])
})

test('a server that dies while it is measured is told, with its log', async () => {
  const dies = "console.log('at your service'); setTimeout(() => { console.log('out of paper'); process.exit(7) }, 50)"
  await using group = await ServerGroup.start(parent, (started) => {
    started.add(fake('frail', dies))
    return started.ready(never)
  })
  expect(await failureOf(group)).toEqual(
    expect.objectContaining({ message: expect.stringMatching(/^frail ended with 7;.*\n.*service\nout of paper$/s) }),
  )
})

test('the end of the harness is the end of its servers, also when it is asked to end while they start', async () => {
  const child = fileURLToPath(new URL('../dist/server-group.js', import.meta.url))
  const script = `
    import { ServerGroup } from ${JSON.stringify(child)}
    process.on('SIGINT', () => process.exit(130))
    const spec = ${JSON.stringify(fake('mute', 'setInterval(() => {}, 1000)'))}
    await ServerGroup.start(${JSON.stringify(parent)}, async (group) => {
      group.add(spec)
      console.log(group.processes[0].pid)
      await new Promise(() => setInterval(() => {}, 1000))
    })`
  const harness = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface({ input: harness.stdout }), 'line')) as [string]
  expect(isRunning(Number(line))).toBe(true)
  harness.kill('SIGINT')
  await once(harness, 'exit')
  await expect.poll(() => isRunning(Number(line)), { timeout: 5000 }).toBe(false)
  expect(await readdir(parent)).toEqual([])
})

test('free ports are all different', async () => {
  expect(new Set(await freePorts(20)).size).toBe(20)
})
