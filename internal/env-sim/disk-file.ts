import { assert, equalBytes } from '../base/index.js'
import { DiskError, type DiskFile, type OpenMode } from '../env/index.js'
import type { DiskOperation } from './disk-faults.js'
import type { FileNode } from './disk-image.js'
import type { Drive } from './disk-mount.js'
import { type EventOwner, neverSettles } from './scheduler.js'

/** An open file of one process. Holds its user to the contract: no overlap, no write to what was given away. */
export class SimFile implements DiskFile {
  readonly path: string
  readonly #drive: Drive
  readonly #owner: EventOwner
  readonly #node: FileNode
  readonly #mode: OpenMode
  #readsRunning = 0
  #changeRunning = false
  /** Where the write that is under way ends. */
  #writingTo = 0
  /** The size at which the preallocation under way has started: writes may run below it. */
  #growingFrom: number | undefined
  #closed = false

  constructor(drive: Drive, owner: EventOwner, path: string, node: FileNode, mode: OpenMode) {
    this.path = path
    this.#drive = drive
    this.#owner = owner
    this.#node = node
    this.#mode = mode
    node.handles++
  }

  size(): Promise<number> {
    return this.#share('size', 0, () => this.#node.volatile.size)
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#share('read', into.length, () => {
      const length = this.#drive.faults.shorten(into.length)
      return this.#node.volatile.read(into.subarray(0, length), position)
    })
  }

  async write(from: Uint8Array, position: number): Promise<number> {
    const bytes = from.slice()
    const end = position + bytes.length
    assert(end <= (this.#growingFrom ?? end), `${this.path}: a write overlaps the preallocation behind it`)
    const written = this.#change('write', bytes.length, () => {
      assert(equalBytes(bytes, from), `${this.path}: bytes were changed while they were being written`)
      const reached = this.#reserve('write', position, position + this.#drive.faults.shorten(bytes.length))
      const place = this.#drive.faults.landing(this.path, position, reached - position, this.#node.volatile.size)
      this.#node.write(bytes.subarray(0, reached - position), place)
      return reached - position
    })
    this.#writingTo = end
    try {
      return await written
    } finally {
      this.#writingTo = 0
    }
  }

  sync(): Promise<void> {
    return this.#run(
      'sync',
      0,
      () => this.#node.sync(),
      () => this.#node.loseWriteBack(),
    )
  }

  async truncate(size: number): Promise<void> {
    assert(this.#growingFrom === undefined, `${this.path}: truncate overlaps preallocate`)
    return await this.#change('truncate', 0, () => {
      this.#drive.faults.release(this.#node, size)
      this.#node.resize(size)
    })
  }

  async preallocate(size: number): Promise<void> {
    if (!this.#owner.alive) return await neverSettles()
    assert(!this.#closed, `${this.path}: preallocate after close`)
    assert(this.#mode !== 'read', `${this.path} was opened for reading only`)
    assert(this.#growingFrom === undefined && this.#readsRunning === 0, `${this.path}: preallocate overlaps`)
    const before = this.#node.volatile.size
    assert(this.#writingTo <= before, `${this.path}: preallocate overlaps a write that extends the file`)
    this.#growingFrom = before
    try {
      await this.#drive.request(this.#owner, 'preallocate', this.path, 0, () => {
        if (size <= before) return
        if (this.#drive.faults.allocate(this.#node, size) < size) {
          this.#drive.faults.release(this.#node, before)
          throw new DiskError('full', 'preallocate', this.path)
        }
        this.#node.resize(size)
      })
    } finally {
      this.#growingFrom = undefined
    }
  }

  async close(): Promise<void> {
    if (!this.#owner.alive) return await neverSettles()
    if (this.#closed) return
    const idle = this.#readsRunning === 0 && !this.#changeRunning && this.#growingFrom === undefined
    assert(idle, `${this.path}: closed while an operation runs`)
    this.#closed = true
    await this.#drive.request(this.#owner, 'close', this.path, 0, () => {
      this.#node.handles--
      this.#drive.forgetUnused(this.#node)
    })
  }

  /** Finds room for a write; returns where it must end. */
  #reserve(operation: DiskOperation, position: number, end: number): number {
    const granted = this.#drive.faults.allocate(this.#node, end)
    if (granted <= position && end > position) throw new DiskError('full', operation, this.path)
    return Math.min(granted, end)
  }

  async #share<T>(operation: DiskOperation, bytes: number, apply: () => T): Promise<T> {
    if (!this.#owner.alive) return await neverSettles()
    this.#assertUsable(operation)
    this.#readsRunning++
    try {
      return await this.#drive.request(this.#owner, operation, this.path, bytes, apply)
    } finally {
      this.#readsRunning--
    }
  }

  async #change<T>(operation: DiskOperation, bytes: number, apply: () => T): Promise<T> {
    if (!this.#owner.alive) return await neverSettles()
    assert(this.#mode !== 'read', `${this.path} was opened for reading only`)
    return await this.#run(operation, bytes, apply)
  }

  async #run<T>(operation: DiskOperation, bytes: number, apply: () => T, onFault?: () => void): Promise<T> {
    if (!this.#owner.alive) return await neverSettles()
    this.#assertUsable(operation)
    assert(this.#readsRunning === 0, `${this.path}: ${operation} overlaps a read`)
    this.#changeRunning = true
    try {
      return await this.#drive.request(this.#owner, operation, this.path, bytes, apply, onFault)
    } finally {
      this.#changeRunning = false
    }
  }

  #assertUsable(operation: DiskOperation): void {
    assert(!this.#closed, `${this.path}: ${operation} after close`)
    assert(!this.#changeRunning, `${this.path}: ${operation} overlaps another operation`)
  }
}
