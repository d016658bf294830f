import type { Disk, DiskFile, OpenMode } from './disk.js'

/** A disk that hands everything to another one: for those who count, watch or spoil some of it. */
export class ForwardingDisk implements Disk {
  readonly #disk: Disk

  constructor(disk: Disk) {
    this.#disk = disk
  }

  open(path: string, mode: OpenMode): Promise<DiskFile> {
    return this.#disk.open(path, mode)
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
}

/** A file that hands everything to another one. */
export class ForwardingFile implements DiskFile {
  readonly path: string
  readonly #file: DiskFile

  constructor(file: DiskFile) {
    this.path = file.path
    this.#file = file
  }

  size(): Promise<number> {
    return this.#file.size()
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#file.read(into, position)
  }

  write(from: Uint8Array, position: number): Promise<number> {
    return this.#file.write(from, position)
  }

  sync(): Promise<void> {
    return this.#file.sync()
  }

  truncate(size: number): Promise<void> {
    return this.#file.truncate(size)
  }

  preallocate(size: number): Promise<void> {
    return this.#file.preallocate(size)
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
