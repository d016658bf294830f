import { type Disk, DiskError, type DiskFile, type OpenMode } from '../env/index.js'

/** A disk that can be full: writes take half of what they are given once, and then nothing. */
export class FillingDisk implements Disk {
  readonly #disk: Disk
  #full = false
  #halfTaken = false

  constructor(disk: Disk) {
    this.#disk = disk
  }

  set full(full: boolean) {
    this.#full = full
    if (!full) this.#halfTaken = false
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const file = await this.#disk.open(path, mode)
    return {
      path,
      size: () => file.size(),
      read: (into, position) => file.read(into, position),
      write: async (from, position) => await file.write(from.subarray(0, this.#room(path, from.length)), position),
      sync: () => file.sync(),
      truncate: (size) => file.truncate(size),
      preallocate: async (size) => {
        if (this.#full) throw new DiskError('full', 'preallocate', path)
        await file.preallocate(size)
      },
      close: () => file.close(),
    }
  }

  rename(from: string, to: string): Promise<void> {
    return this.#disk.rename(from, to)
  }

  remove(path: string): Promise<void> {
    return this.#disk.remove(path)
  }

  list(directory: string): Promise<string[]> {
    return this.#disk.list(directory)
  }

  makeDirectory(path: string): Promise<void> {
    return this.#disk.makeDirectory(path)
  }

  syncDirectory(path: string): Promise<void> {
    return this.#disk.syncDirectory(path)
  }

  freeBytes(): Promise<number> {
    return this.#disk.freeBytes()
  }

  /** How much of a write there is room for. */
  #room(path: string, bytes: number): number {
    if (!this.#full) return bytes
    if (this.#halfTaken || bytes < 2) throw new DiskError('full', 'write', path)
    this.#halfTaken = true
    return bytes >>> 1
  }
}
