import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { localUsage } from '@quorumkv/cli/bench'
import type { ServerGroup } from './server-group.js'

/** What a group of servers takes at one moment. */
export interface Sample {
  /** Since the sampling began. */
  readonly seconds: number
  /** Resident memory of all servers; 0 where this system cannot tell. */
  readonly residentBytes: number
  /** What their files take on the disk: blocks, not lengths. */
  readonly fileBytes: number
}

/** The unit of `blocks` in stat(2), on every system. */
const blockBytes = 512

/** What the files below a directory take on the disk. Files that go away meanwhile count as nothing. */
export async function diskBytes(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true }).catch(absentAs<string[]>([]))
  const sizes = names.map(async (name) => {
    const found = await stat(join(directory, name)).catch(absentAs(undefined))
    return found === undefined || !found.isFile() ? 0 : found.blocks * blockBytes
  })
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0)
}

function absentAs<T>(value: T): (error: unknown) => T {
  return (error) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return value
    throw error
  }
}

/**
 * Samples a group of servers every `everyMs` while `work` runs, once before it and once after it, and resolves to what
 * `work` did and the samples. Rejects as `work` does, or when a server has ended.
 */
export async function sampledWhile<T>(
  group: ServerGroup,
  everyMs: number,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly samples: readonly Sample[] }> {
  const samples: Sample[] = []
  const started = performance.now()
  const take = async (): Promise<void> => {
    const [usage, fileBytes] = await Promise.all([localUsage(group.processes), diskBytes(group.directory)])
    const residentBytes = usage.reduce((sum, process) => sum + process.residentBytes, 0)
    samples.push({ seconds: (performance.now() - started) / 1000, residentBytes, fileBytes })
  }
  const over = new AbortController()
  const sampling = async (): Promise<void> => {
    while (!over.signal.aborted) {
      await delay(everyMs, undefined, { signal: over.signal }).catch((error: unknown) => {
        if (!over.signal.aborted) throw error
      })
      await take()
    }
  }
  await take()
  const [worked, sampled] = await Promise.allSettled([work().finally(() => over.abort()), sampling()])
  if (worked.status === 'rejected') throw worked.reason
  if (sampled.status === 'rejected') throw sampled.reason
  return { result: worked.value, samples }
}

/**
 * How much a figure still grows at the end of a run: the most of the last third over the most of the third before it. A
 * figure that goes up and down as files come and go, and no further, is at about 1; one that nobody could tell, 0
 * throughout, is NaN, which meets no bound.
 */
export function lateGrowth(values: readonly number[]): number {
  const third = Math.floor(values.length / 3)
  if (third === 0) throw new Error('it takes three samples to tell whether a figure grows')
  const [before, last] = [values.slice(-2 * third, -third), values.slice(-third)]
  return Math.max(...last) / Math.max(...before)
}
