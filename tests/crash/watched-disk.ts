import { type Disk, type DiskFile, ForwardingDisk, ForwardingFile, type OpenMode } from '@quorumkv/internal/env'

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
export class WatchedDisk extends ForwardingDisk {
  readonly #watcher: DiskWatcher

  constructor(disk: Disk, watcher: DiskWatcher) {
    super(disk)
    this.#watcher = watcher
  }

  override async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const opening = super.open(path, mode)
    const file = await (mode === 'create' ? watched(this.#watcher, 'create', path, opening) : opening)
    return new WatchedFile(file, this.#watcher)
  }

  override rename(from: string, to: string): Promise<void> {
    return watched(this.#watcher, 'rename', to, super.rename(from, to))
  }

  override remove(path: string): Promise<void> {
    return watched(this.#watcher, 'remove', path, super.remove(path))
  }

  override makeDirectory(path: string): Promise<void> {
    return watched(this.#watcher, 'makeDirectory', path, super.makeDirectory(path))
  }

  override syncDirectory(path: string): Promise<void> {
    return watched(this.#watcher, 'syncDirectory', path, super.syncDirectory(path))
  }
}

class WatchedFile extends ForwardingFile {
  readonly #watcher: DiskWatcher

  constructor(file: DiskFile, watcher: DiskWatcher) {
    super(file)
    this.#watcher = watcher
  }

  override read(into: Uint8Array, position: number): Promise<number> {
    this.#watcher.reading?.(this.path, into.length)
    return super.read(into, position)
  }

  override write(from: Uint8Array, position: number): Promise<number> {
    this.#watcher.beginning?.('write', this.path)
    return watched(this.#watcher, 'write', this.path, super.write(from, position))
  }

  override sync(): Promise<void> {
    this.#watcher.beginning?.('sync', this.path)
    return watched(this.#watcher, 'sync', this.path, super.sync())
  }

  override truncate(size: number): Promise<void> {
    return watched(this.#watcher, 'truncate', this.path, super.truncate(size))
  }

  override preallocate(size: number): Promise<void> {
    return watched(this.#watcher, 'preallocate', this.path, super.preallocate(size))
  }
}

async function watched<T>(watcher: DiskWatcher, change: DiskChange, path: string, running: Promise<T>): Promise<T> {
  try {
    return await running
  } finally {
    watcher.changed?.(change, path)
  }
}
