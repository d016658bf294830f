import { type Disk, DiskError, type DiskFile, type OpenMode } from '@quorumkv/internal/env'

interface MemoryContents {
  bytes: Buffer
  size: number
}

/** A disk that costs nothing, so that what is measured is the code above it. It knows no crash and no fault. */
export class MemoryDisk implements Disk {
  readonly #files = new Map<string, MemoryContents>()
  readonly #directories = new Set([''])

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const found = this.#files.get(path)
    if (mode === 'create' && found !== undefined) throw new DiskError('exists', 'open', path)
    if (mode !== 'create' && found === undefined) throw new DiskError('not-found', 'open', path)
    const contents = found ?? { bytes: Buffer.alloc(0), size: 0 }
    this.#files.set(path, contents)
    return new MemoryFile(path, contents)
  }

  async rename(from: string, to: string): Promise<void> {
    const contents = this.#files.get(from)
    if (contents === undefined) throw new DiskError('not-found', 'rename', from)
    this.#files.delete(from)
    this.#files.set(to, contents)
  }

  async remove(path: string): Promise<void> {
    if (!this.#files.delete(path)) throw new DiskError('not-found', 'remove', path)
  }

  async list(directory: string): Promise<string[]> {
    if (!this.#directories.has(directory)) throw new DiskError('not-found', 'list', directory)
    const prefix = directory === '' ? '' : `${directory}/`
    const names = [...this.#files.keys(), ...this.#directories]
      .filter((path) => path !== directory && path.startsWith(prefix))
      .map((path) => path.slice(prefix.length))
    return names.filter((name) => !name.includes('/')).sort()
  }

  async makeDirectory(path: string): Promise<void> {
    const parts = path.split('/')
    for (let i = 1; i <= parts.length; i++) this.#directories.add(parts.slice(0, i).join('/'))
  }

  async syncDirectory(_path: string): Promise<void> {}

  async freeBytes(): Promise<number> {
    return 2 ** 40
  }
}

class MemoryFile implements DiskFile {
  readonly path: string
  readonly #contents: MemoryContents

  constructor(path: string, contents: MemoryContents) {
    this.path = path
    this.#contents = contents
  }

  async size(): Promise<number> {
    return this.#contents.size
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    const { bytes, size } = this.#contents
    const length = Math.max(0, Math.min(into.length, size - position))
    into.set(bytes.subarray(position, position + length))
    return length
  }

  async write(from: Uint8Array, position: number): Promise<number> {
    this.#grow(position + from.length)
    this.#contents.bytes.set(from, position)
    return from.length
  }

  /** At the next turn of the event loop, as a fast disk would: what arrives meanwhile is one group. */
  sync(): Promise<void> {
    return new Promise((resolve) => void setImmediate(resolve))
  }

  async truncate(size: number): Promise<void> {
    if (size < this.#contents.size) this.#contents.bytes.fill(0, size, this.#contents.size)
    this.#contents.size = 0
    this.#grow(size)
  }

  async preallocate(size: number): Promise<void> {
    this.#grow(size)
  }

  async close(): Promise<void> {}

  #grow(size: number): void {
    const contents = this.#contents
    if (size <= contents.size) return
    contents.size = size
    if (size <= contents.bytes.length) return
    const bigger = Buffer.alloc(Math.max(size, 2 * contents.bytes.length))
    bigger.set(contents.bytes)
    contents.bytes = bigger
  }
}
