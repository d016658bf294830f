import { type Disk, writeFully } from '@quorumkv/internal/env'
import type { SimCluster } from '../sim/sim-cluster.js'

/*
 * What is done to the disk of a node that does not run. A disk is reached through a life of its process: one is begun
 * for it, in which no node is started, and ended again.
 */

/** The files of a disk, by their paths. */
export type DiskCopy = ReadonlyMap<string, Uint8Array>

async function atDisk<T>(cluster: SimCluster, node: string, work: (disk: Disk) => Promise<T>): Promise<T> {
  const { disk } = cluster.process(node).restart()
  try {
    return await work(disk)
  } finally {
    cluster.process(node).crash({ disk: 'keep' })
  }
}

export function wipe(cluster: SimCluster, node: string): void {
  cluster.wipe(node)
}

export function loseRecords(cluster: SimCluster, node: string): Promise<void> {
  return atDisk(cluster, node, () => cluster.lose(node))
}

/**
 * Of the last write to the log all sectors but one have reached the medium: one near its end holds something else.
 * Returns false where nothing has been written.
 */
export function tearLog(cluster: SimCluster, node: string): Promise<boolean> {
  const { drive } = cluster.process(node)
  return atDisk(cluster, node, async (disk) => {
    const names = await cluster.settle(disk.list('log'))
    for (const name of names.filter((each) => each.endsWith('.log')).reverse()) {
      const end = drive.peek(`log/${name}`)!.findLastIndex((byte) => byte !== 0)
      if (end < 0) continue
      drive.corrupt(`log/${name}`, end)
      return true
    }
    return false
  })
}

export function copyDisk(cluster: SimCluster, node: string): Promise<DiskCopy> {
  const { drive } = cluster.process(node)
  return atDisk(cluster, node, async (disk) => {
    const files = new Map<string, Uint8Array>()
    const copy = async (directory: string): Promise<void> => {
      for (const name of await cluster.settle(disk.list(directory))) {
        const path = directory === '' ? name : `${directory}/${name}`
        const bytes = drive.peek(path)
        if (bytes === undefined) await copy(path)
        else files.set(path, bytes)
      }
    }
    await copy('')
    return files
  })
}

/** The disk holds just what it held when it was copied. */
export async function restoreDisk(cluster: SimCluster, node: string, files: DiskCopy): Promise<void> {
  wipe(cluster, node)
  await atDisk(cluster, node, async (disk) => {
    for (const [path, bytes] of files) await cluster.settle(restoreFile(disk, path, bytes))
  })
}

async function restoreFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const directory = path.slice(0, Math.max(0, path.lastIndexOf('/')))
  if (directory !== '') await disk.makeDirectory(directory)
  const file = await disk.open(path, 'create')
  await writeFully(file, bytes, 0)
  await file.sync()
  await file.close()
  await disk.syncDirectory(directory)
}
