import * as fs from 'node:fs'
import { assert, limits } from '../base/index.js'
import { DiskError, type DiskFile, type OpenMode, writeFully } from '../env/index.js'
import { diskError } from './node-errors.js'

/** Preallocation writes zeros in pieces of this size. */
const zeros = new Uint8Array(1_048_576)

/**
 * An open file of the machine. The callback functions of node:fs are wrapped once: its promise face costs twice that.
 *
 * A small write is made in the caller's turn: it is a copy into the system's memory, 3 µs where a thread of the pool and the
 * way to it and back take 20 µs of processor time and two context switches (docs/adr/0036). What waits for the medium (syncs,
 * reads, large writes, which the system may slow down) is done in the pool.
 */
export class NodeFile implements DiskFile {
  readonly path: string
  readonly #fd: number
  readonly #mode: OpenMode
  #closed = false

  constructor(path: string, fd: number, mode: OpenMode) {
    this.path = path
    this.#fd = fd
    this.#mode = mode
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#assertOpen('size')
      fs.fstat(this.#fd, (error, stats) => {
        if (error === null) resolve(stats.size)
        else reject(diskError('size', this.path, error))
      })
    })
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#assertOpen('read')
      fs.read(this.#fd, into, 0, into.length, position, (error, length) => {
        if (error === null) resolve(length)
        else reject(diskError('read', this.path, error))
      })
    })
  }

  write(from: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#assertWritable('write')
      if (from.length <= limits.diskWriteAtOnceBytesMax) {
        resolve(this.#writeAtOnce(from, position))
        return
      }
      fs.write(this.#fd, from, 0, from.length, position, (error, length) => {
        if (error !== null) reject(diskError('write', this.path, error))
        else if (length === 0) reject(this.#tookNothing())
        else resolve(length)
      })
    })
  }

  /** Throws DiskError. */
  #writeAtOnce(from: Uint8Array, position: number): number {
    let length: number
    try {
      length = fs.writeSync(this.#fd, from, 0, from.length, position)
    } catch (error) {
      throw diskError('write', this.path, error as NodeJS.ErrnoException)
    }
    if (length === 0 && from.length > 0) throw this.#tookNothing()
    return length
  }

  #tookNothing(): DiskError {
    return new DiskError('io', 'write', this.path, new Error('the system took no bytes'))
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#assertOpen('sync')
      fs.fdatasync(this.#fd, (error) => {
        if (error === null) resolve()
        else reject(diskError('sync', this.path, error))
      })
    })
  }

  truncate(size: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#assertWritable('truncate')
      fs.ftruncate(this.#fd, size, (error) => {
        if (error === null) resolve()
        else reject(diskError('truncate', this.path, error))
      })
    })
  }

  /** Writes zeros behind the end: Node has no fallocate. When there is no room, the file is as it was. */
  async preallocate(size: number): Promise<void> {
    this.#assertWritable('preallocate')
    const before = await this.size()
    try {
      for (let at = before; at < size; at += zeros.length) {
        await writeFully(this, zeros.subarray(0, Math.min(zeros.length, size - at)), at)
      }
    } catch (error) {
      if (error instanceof DiskError && error.code === 'full') await this.truncate(before)
      throw error
    }
  }

  close(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        resolve()
        return
      }
      // Even when it fails the descriptor is gone, and may be another file's: it is never closed twice.
      this.#closed = true
      fs.close(this.#fd, (error) => {
        if (error == null) resolve()
        else reject(diskError('close', this.path, error))
      })
    })
  }

  #assertOpen(operation: string): void {
    assert(!this.#closed, `${this.path}: ${operation} after close`)
  }

  #assertWritable(operation: string): void {
    this.#assertOpen(operation)
    assert(this.#mode !== 'read', `${this.path} was opened for reading only`)
  }
}
