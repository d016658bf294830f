import { readFile } from 'node:fs/promises'
import type { ProcessUsage } from './target.js'

/** A process on this machine. */
export interface Process {
  readonly id: string
  readonly pid: number
}

/** What the load generator and the servers have used. No servers: nobody can say. */
export interface Usage {
  readonly client: ProcessUsage
  readonly servers: readonly ProcessUsage[]
}

/** The unit of times in /proc: USER_HZ, 100 on every Linux that Node.js runs on. */
const ticksPerSecond = 100

/**
 * CPU seconds, user and system, of a process and of its children that have ended, from the text of /proc/PID/stat. What
 * a server has done by a child, as Redis rewrites its log, it has used as well.
 */
export function parseCpuSeconds(stat: string): number {
  // The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const seconds = [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0) / ticksPerSecond
  if (!Number.isFinite(seconds)) throw new Error(`/proc/PID/stat has no CPU times: ${JSON.stringify(stat)}`)
  return seconds
}

/** Resident bytes from the text of /proc/PID/status. */
export function parseResidentBytes(status: string): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(status)
  if (match === null) throw new Error('/proc/PID/status has no VmRSS')
  return Number(match[1]) * 1024
}

/** What a process of this machine has used up to now. Linux only. Rejects when it has ended. */
export async function processUsage({ id, pid }: Process): Promise<ProcessUsage> {
  try {
    const [stat, status] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile(`/proc/${pid}/status`, 'utf8'),
    ])
    return { id, cpuSeconds: parseCpuSeconds(stat), residentBytes: parseResidentBytes(status) }
  } catch (cause) {
    throw new Error(`cannot read what ${id} (pid ${pid}) has used`, { cause })
  }
}

/** What these processes have used up to now, where this system can tell; nothing elsewhere. Rejects when one has ended. */
export async function localUsage(processes: readonly Process[]): Promise<readonly ProcessUsage[]> {
  return process.platform === 'linux' ? await Promise.all(processes.map(processUsage)) : []
}

/** What this process has used up to now. */
export function ownUsage(): ProcessUsage {
  const { user, system } = process.cpuUsage()
  return { id: 'client', cpuSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss() }
}

/**
 * CPU seconds between two readings of the same processes, and the memory at the later one. No servers where only one of
 * the readings has them.
 */
export function usageBetween(before: Usage, after: Usage): Usage {
  const between = (from: ProcessUsage, to: ProcessUsage): ProcessUsage => ({
    ...to,
    cpuSeconds: to.cpuSeconds - from.cpuSeconds,
  })
  return {
    client: between(before.client, after.client),
    servers:
      before.servers.length !== after.servers.length
        ? []
        : after.servers.map((server, i) => between(before.servers[i]!, server)),
  }
}
