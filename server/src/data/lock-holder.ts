import { readFileSync, statfsSync } from 'node:fs'
import { hostname } from 'node:os'

/** Who has a data directory, or wants it. */
export interface Holder {
  readonly pid: number
  readonly host: string
  /** Names the running kernel: pids and sockets mean something within one only. Empty where the kernel tells none. */
  readonly bootId: string
  /** It has the directory; false: it is only starting. */
  readonly owns: boolean
}

function isHolder(value: unknown): value is Holder {
  if (typeof value !== 'object' || value === null) return false
  const { pid, host, bootId, owns } = value as Partial<Record<keyof Holder, unknown>>
  if (!Number.isSafeInteger(pid) || Number(pid) <= 0) return false
  return typeof host === 'string' && typeof bootId === 'string' && typeof owns === 'boolean'
}

/** Whether an error of the system has one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** This process. */
export function thisHolder(owns: boolean): Holder {
  const bootId = readIfThere('/proc/sys/kernel/random/boot_id') ?? ''
  return { pid: process.pid, host: hostname(), bootId: bootId.trim(), owns }
}

/** One line of JSON, in the file of the holder and as the answer on its socket. */
export function formatHolder(holder: Holder): string {
  return `${JSON.stringify(holder)}\n`
}

/** What `formatHolder` wrote; undefined: it is not whole, as a process leaves it that was killed while it wrote. */
export function parseHolder(text: string): Holder | undefined {
  if (!text.endsWith('\n')) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
  return isHolder(value) ? value : undefined
}

/** What the file of a directory's last holder says; undefined: there is none, or it is not whole. */
export function readHolder(path: string): Holder | undefined {
  const text = readIfThere(path)
  return text === undefined ? undefined : parseHolder(text)
}

/** For messages: pids of another container or machine mean nothing without its name. */
export function describeHolder(holder: Holder | undefined): string {
  if (holder === undefined) return 'another process'
  const where = holder.host === hostname() ? '' : ` on host ${holder.host}`
  return `process ${holder.pid}${where}`
}

/**
 * Types of file systems (statfs) that several kernels can have mounted at once: NFS, SMB and CIFS, FUSE (which virtiofs,
 * GlusterFS and sshfs also report), 9p, Ceph, Lustre, GPFS, GFS2, OCFS2, BeeGFS, AFS.
 */
const sharedTypes: ReadonlySet<number> = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546, 0x01021997, 0x00c36400, 0x0bd00bd0, 0x47504653, 0x01161970,
  0x7461636f, 0x19830326, 0x5346414f,
])

/** Whether other machines may have the same file system mounted. */
export function isShared(path: string): boolean {
  return sharedTypes.has(statfsSync(path).type)
}

/**
 * Whether a holder that did not sign off may still live where its socket does not answer. The same host under another
 * boot id has been started again; another name under the same boot id is a container on the same kernel.
 */
export function mayLiveElsewhere(holder: Holder, self: Holder): boolean {
  return holder.host !== self.host && holder.bootId !== self.bootId
}
