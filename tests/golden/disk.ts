import { type Disk, readFully, writeFully } from '@quorumkv/internal/env'
import { MemoryDrive } from '@quorumkv/internal/env-sim'

/** A disk in memory, for what can only be written to one. */
export function emptyDisk(): Disk {
  return new MemoryDrive({ defer: (fire) => void setImmediate(fire) }).mount()
}

/** A disk that holds one file. */
export async function diskWith(path: string, bytes: Uint8Array): Promise<Disk> {
  const disk = emptyDisk()
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
    await disk.makeDirectory(path.slice(0, end))
  }
  const file = await disk.open(path, 'create')
  await writeFully(file, bytes, 0)
  await file.close()
  return disk
}

export async function readFile(disk: Disk, path: string): Promise<Uint8Array> {
  const file = await disk.open(path, 'read')
  const bytes = new Uint8Array(await file.size())
  await readFully(file, bytes, 0)
  await file.close()
  return bytes
}
