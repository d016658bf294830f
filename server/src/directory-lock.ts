import { readFileSync, readlinkSync, rmSync, type Stats, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { FatalError } from '@quorumkv/internal/base'
import { z } from 'zod'

export const lockFileName = 'LOCK'

/** Names a process for good: a pid alone is used again, by others and after a restart of the machine. */
const holderSchema = z.strictObject({
  pid: z.number().int().positive(),
  bootId: z.string(),
  startTicks: z.string(),
  pidNamespace: z.string(),
})
type Holder = z.infer<typeof holderSchema>

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** Reads what only Linux has; empty elsewhere, where the pid alone must do. */
function readIfThere(read: () => string): string {
  try {
    return read()
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH', 'EACCES')) return ''
    throw error
  }
}

/** When the process started, in ticks since boot; empty if there is no such process, or only its exit status. */
function startTicksOf(pid: number): string {
  const stat = readIfThere(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  // The name of the program, in parentheses, may itself contain spaces and parentheses. Behind it: fields 3, 4, 5, …
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const state = fields[0]
  return state === 'Z' || state === 'X' ? '' : (fields[19] ?? '')
}

function thisProcess(): Holder {
  return {
    pid: process.pid,
    bootId: readIfThere(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
    startTicks: startTicksOf(process.pid),
    pidNamespace: readIfThere(() => readlinkSync('/proc/self/ns/pid')),
  }
}

function readHolder(path: string): Holder | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  // A holder that was killed while it wrote leaves half a file: it holds nothing any more.
  if (!text.endsWith('\n')) return undefined
  try {
    return holderSchema.parse(JSON.parse(text))
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined
    throw error
  }
}

function isAlive(holder: Holder, self: Holder): boolean {
  if (holder.bootId !== self.bootId || holder.pidNamespace !== self.pidNamespace) return false
  if (holder.pid === self.pid && holder.startTicks === self.startTicks) return false
  if (self.startTicks !== '') return startTicksOf(holder.pid) === holder.startTicks
  try {
    process.kill(holder.pid, 0)
    return true
  } catch (error) {
    return !hasCode(error, 'ESRCH')
  }
}

/** How long a holder whose socket is gone may take to be gone itself: it has been killed, most likely. */
const dyingWaitMs = 1_000

async function outlives(holder: Holder, self: Holder): Promise<boolean> {
  const endMs = performance.now() + dyingWaitMs
  while (isAlive(holder, self)) {
    if (performance.now() > endMs) return true
    await setTimeout(20)
  }
  return false
}

/** Binds an abstract socket: the kernel lets one process have the name, and takes it back however that process ends. */
function claimName(name: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error) => {
      if (hasCode(error, 'EADDRINUSE')) resolve(undefined)
      else reject(error)
    })
    server.listen({ path: name }, () => resolve(server.unref()))
  })
}

function inUse(directory: string, holder: Holder | undefined): FatalError {
  const who = holder === undefined ? 'another process' : `process ${holder.pid}`
  return new FatalError('in-use', `the data directory ${directory} is in use by ${who}`)
}

/** Keeps every other process out of a data directory. */
export interface DirectoryLock {
  release(): void
}

/**
 * Locks a directory for this process. Node has no flock, so there are two locks: an abstract Unix socket named after
 * the directory's device and inode, which no crash leaves behind, and, because those names are seen in one network
 * namespace only, a file that names the holder. Rejects with FatalError `in-use`, naming the holder's pid.
 */
export async function lockDirectory(directory: string, stats: Stats): Promise<DirectoryLock> {
  const path = join(directory, lockFileName)
  const self = thisProcess()
  const socket = process.platform === 'linux' ? await claimName(`\0quorumkv-data-${stats.dev}-${stats.ino}`) : undefined
  const holder = readHolder(path)
  if (process.platform === 'linux' && socket === undefined) throw inUse(directory, holder)
  if (holder !== undefined && (await outlives(holder, self))) {
    socket?.close()
    throw inUse(directory, holder)
  }
  try {
    writeFileSync(path, `${JSON.stringify(self)}\n`, { mode: 0o600 })
  } catch (error) {
    socket?.close()
    throw error
  }
  return {
    release: () => {
      rmSync(path, { force: true })
      socket?.close()
    },
  }
}
