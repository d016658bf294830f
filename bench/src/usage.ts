import { readFile } from 'node:fs/promises'

/** One of the processes that a benchmark started. */
export interface Process {
  readonly id: string
  readonly pid: number
}

/** What a process has used since it was started. */
export interface ProcessUsage {
  readonly id: string
  /** In user code and in the kernel. */
  readonly cpuSeconds: number
  /** Resident memory now. */
  readonly residentBytes: number
}

/** What the load generator and the nodes have used. Nodes are empty where they are not ours or there is no /proc. */
export interface Usage {
  readonly client: ProcessUsage
  readonly servers: readonly ProcessUsage[]
}

/** The unit of times in /proc: USER_HZ, 100 on every Linux that Node.js runs on. */
const ticksPerSecond = 100

/** CPU seconds, user and system, from the text of /proc/PID/stat. */
export function parseCpuSeconds(stat: string): number {
  // The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const seconds = (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
  if (!Number.isFinite(seconds)) throw new Error(`/proc/PID/stat has no CPU times: ${JSON.stringify(stat)}`)
  return seconds
}

/** Resident bytes from the text of /proc/PID/status. */
export function parseResidentBytes(status: string): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(status)
  if (match === null) throw new Error('/proc/PID/status has no VmRSS')
  return Number(match[1]) * 1024
}

async function usageOf({ id, pid }: Process): Promise<ProcessUsage> {
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

/** What this process and the given ones have used up to now. Rejects when one of them has ended. */
export async function readUsage(servers: readonly Process[]): Promise<Usage> {
  const { user, system } = process.cpuUsage()
  const client = {
    id: 'client',
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
  }
  return { client, servers: process.platform === 'linux' ? await Promise.all(servers.map(usageOf)) : [] }
}

/** CPU seconds between two readings of the same processes, and the memory at the later one. */
export function usageBetween(before: Usage, after: Usage): Usage {
  const between = (from: ProcessUsage, to: ProcessUsage): ProcessUsage => ({
    ...to,
    cpuSeconds: to.cpuSeconds - from.cpuSeconds,
  })
  return {
    client: between(before.client, after.client),
    servers: after.servers.map((server, i) => between(before.servers[i]!, server)),
  }
}
