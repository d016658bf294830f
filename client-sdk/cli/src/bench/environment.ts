import { execFile } from 'node:child_process'
import { statfs } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** The machine and the program that were measured. */
export interface Environment {
  readonly cpu: string
  /** That this process may use. */
  readonly cores: number
  readonly memoryBytes: number
  /** Of the last minute, before the benchmark: what others leave of the cores. */
  readonly loadAverage: number
  readonly os: string
  readonly node: string
  /** Of the source tree, `-dirty` where it holds changes; undefined where it is no git repository. */
  readonly commit: string | undefined
}

/** The same place from src/ and from dist/. */
const packageRoot = fileURLToPath(new URL('../..', import.meta.url))

async function commitOf(directory: string): Promise<string | undefined> {
  // An installed package lies within the repository of whoever has installed it.
  if (directory.split(sep).includes('node_modules')) return undefined
  try {
    const flags = ['describe', '--always', '--dirty', '--abbrev=12', '--exclude=*']
    const { stdout } = await promisify(execFile)('git', ['-C', directory, ...flags])
    return stdout.trim()
  } catch (error) {
    // A number is git's exit status: this is no repository. ENOENT: there is no git.
    const { code } = error as { code?: unknown }
    if (typeof code === 'number' || code === 'ENOENT') return undefined
    throw error
  }
}

/** What this process runs on. */
export async function readEnvironment(): Promise<Environment> {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    loadAverage: loadavg()[0]!,
    os: `${type()} ${release()}`,
    node: process.version,
    commit: await commitOf(packageRoot),
  }
}

/** Magic numbers of statfs(2). */
const fileSystems: Readonly<Record<number, string>> = {
  61267: 'ext4',
  16914836: 'tmpfs',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  801189825: 'zfs',
  2035054128: 'overlayfs',
  26985: 'nfs',
}

/** The kind of the file system that holds a directory: on tmpfs fdatasync costs nothing, and keeps nothing. */
export async function fileSystemOf(directory: string): Promise<string> {
  if (process.platform !== 'linux') return 'unknown'
  const { type: magic } = await statfs(directory)
  return fileSystems[magic] ?? `0x${magic.toString(16)}`
}
