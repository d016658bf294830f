import type { Disk, DiskFile, OpenMode } from '@quorumkv/internal/env'

/** Something that a disk has just done to files or names. */
export type DiskChange =
  | 'create'
  | 'rename'
  | 'remove'
  | 'makeDirectory'
  | 'syncDirectory'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'preallocate'

/** What a `WatchedDisk` tells. Called in the turn in which the disk answers, before whoever asked has heard of it. */
export interface DiskWatcher {
  /** `sync` and `write` also say when they begin: what comes after that is not known to be covered. */
  beginning?(change: DiskChange, path: string): void
  changed?(change: DiskChange, path: string): void
  /** The size of a buffer that was handed in to be read into. */
  reading?(path: string, bytes: number): void
}

/** A disk that tells what it does. An operation that fails has changed something too: the part before it failed. */
export class WatchedDisk implements Disk {
  readonly #disk: Disk
  readonly #watcher: DiskWatcher

  constructor(disk: Disk, watcher: DiskWatcher) {
    this.#disk = disk
    this.#watcher = watcher
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    if (mode !== 'create') return new WatchedFile(await this.#disk.open(path, mode), this.#watcher)
    const file = await watched(this.#watcher, 'create', path, this.#disk.open(path, mode))
    return new WatchedFile(file, this.#watcher)
  }

  rename(from: string, to: string): Promise<void> {
    return watched(this.#watcher, 'rename', to, this.#disk.rename(from, to))
  }

  remove(path: string): Promise<void> {
    return watched(this.#watcher, 'remove', path, this.#disk.remove(path))
  }

  list(directory: string): Promise<string[]> {
    return this.#disk.list(directory)
  }

  makeDirectory(path: string): Promise<void> {
    return watched(this.#watcher, 'makeDirectory', path, this.#disk.makeDirectory(path))
  }

  syncDirectory(path: string): Promise<void> {
    return watched(this.#watcher, 'syncDirectory', path, this.#disk.syncDirectory(path))
  }

  freeBytes(): Promise<number> {
    return this.#disk.freeBytes()
  }
}

class WatchedFile implements DiskFile {
  readonly path: string
  readonly #file: DiskFile
  readonly #watcher: DiskWatcher

  constructor(file: DiskFile, watcher: DiskWatcher) {
    this.path = file.path
    this.#file = file
    this.#watcher = watcher
  }

  size(): Promise<number> {
    return this.#file.size()
  }

  read(into: Uint8Array, position: number): Promise<number> {
    this.#watcher.reading?.(this.path, into.length)
    return this.#file.read(into, position)
  }

  write(from: Uint8Array, position: number): Promise<number> {
    this.#watcher.beginning?.('write', this.path)
    return watched(this.#watcher, 'write', this.path, this.#file.write(from, position))
  }

  sync(): Promise<void> {
    this.#watcher.beginning?.('sync', this.path)
    return watched(this.#watcher, 'sync', this.path, this.#file.sync())
  }

  truncate(size: number): Promise<void> {
    return watched(this.#watcher, 'truncate', this.path, this.#file.truncate(size))
  }

  preallocate(size: number): Promise<void> {
    return watched(this.#watcher, 'preallocate', this.path, this.#file.preallocate(size))
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

async function watched<T>(watcher: DiskWatcher, change: DiskChange, path: string, running: Promise<T>): Promise<T> {
  try {
    return await running
  } finally {
    watcher.changed?.(change, path)
  }
}
