import { readdir, readFile, readlink } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import type { ProcessUsage } from './target.js'
import { localUsage, type Process } from './usage.js'

/** A member of the cluster, by the address that it is known under. */
export interface Address {
  readonly id: string
  /** `host:port` or `[ipv6]:port` */
  readonly address: string
}

/**
 * Reads what the members use, where all of them are kv-server processes of this machine that this user may look at;
 * nothing otherwise. A share would be taken for the whole, and whoever merely listens at an address (a tunnel, say) for
 * the server.
 */
export async function localServerUsage(members: readonly Address[]): Promise<() => Promise<readonly ProcessUsage[]>> {
  const found = await findProcesses(members)
  return async () => {
    if (found === undefined) return []
    try {
      return await localUsage(found)
    } catch (error) {
      // A server has ended, which the operations tell in their own way; what it has used is not known any more.
      if (error instanceof Error && error.cause !== undefined) return []
      throw error
    }
  }
}

async function findProcesses(members: readonly Address[]): Promise<readonly Process[] | undefined> {
  if (process.platform !== 'linux') return undefined
  const ports = members.map(({ address }) => localPort(address))
  if (ports.some((port) => port === undefined)) return undefined
  const inodes = await listeners()
  const owners = await ownersOf(new Set(inodes.values()))
  const found: Process[] = []
  for (const [i, member] of members.entries()) {
    const pid = owners.get(inodes.get(ports[i]!) ?? '')
    if (pid === undefined || !(await isServer(pid))) return undefined
    found.push({ id: member.id, pid })
  }
  return found
}

/** The port, where the host is this machine. */
function localPort(address: string): number | undefined {
  const match = /^\[?(.*?)\]?:(\d+)$/.exec(address)
  if (match === null) return undefined
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const isOwn = match[1] === 'localhost' || own.some((one) => one.address === match[1])
  return isOwn ? Number(match[2]) : undefined
}

/** Ports that somebody listens on, with the inode of the socket, from the text of /proc/net/tcp or tcp6. */
export function parseListeners(text: string): Map<number, string> {
  const found = new Map<number, string>()
  for (const line of text.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/)
    // State 0A is LISTEN; the local address is hexadecimal, `0100007F:C383`.
    if (fields[3] !== '0A') continue
    const port = Number.parseInt(fields[1]!.split(':')[1]!, 16)
    if (!found.has(port)) found.set(port, fields[9]!)
  }
  return found
}

async function listeners(): Promise<Map<number, string>> {
  const texts = await Promise.all(['tcp6', 'tcp'].map((name) => readOr(`/proc/net/${name}`, '')))
  return new Map(texts.flatMap((text) => [...parseListeners(text)]))
}

/** Which process holds which of these sockets, as far as this user may see. */
async function ownersOf(inodes: ReadonlySet<string>): Promise<Map<string, number>> {
  const owners = new Map<string, number>()
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const descriptors = await orWhenGone(readdir(`/proc/${name}/fd`), [])
    const links = await Promise.all(descriptors.map((fd) => orWhenGone(readlink(`/proc/${name}/fd/${fd}`), '')))
    for (const link of links) {
      const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1]
      if (inode !== undefined && inodes.has(inode)) owners.set(inode, Number(name))
    }
  }
  return owners
}

async function isServer(pid: number): Promise<boolean> {
  return (await readOr(`/proc/${pid}/cmdline`, '')).includes('kv-server')
}

function readOr(path: string, instead: string): Promise<string> {
  return orWhenGone(readFile(path, 'utf8'), instead)
}

/** Processes end while they are looked at, and those of other users are closed. */
async function orWhenGone<T>(reading: Promise<T>, instead: T): Promise<T> {
  try {
    return await reading
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return instead
    throw error
  }
}
