import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { FailedError } from '../exit.js'
import { type JsonlRecord, jsonField } from '../jsonl.js'
import { limits } from '../limits.js'

/**
 * Appends the key of every acknowledged record to a file, one JSON line each, in the order of the acknowledgements.
 * What has been acknowledged in one turn of the event loop is written with one call.
 */
export class AckedLog {
  readonly #path: string
  readonly #file: number
  #lines = ''
  #flush: NodeJS.Immediate | undefined
  #failure: FailedError | undefined
  #closed = false

  /** Throws a FailedError where the file cannot be opened. */
  constructor(path: string) {
    this.#path = path
    try {
      this.#file = openSync(path, 'a', 0o600)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** Throws a FailedError where an earlier line could not be written: the import must not go on then. */
  append({ key }: Pick<JsonlRecord, 'key'>): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#closed) throw new FailedError(`${this.#path} has been closed`)
    this.#lines += `${JSON.stringify(jsonField('key', key))}\n`
    if (this.#lines.length >= limits.writeChunkBytes) this.flush()
    else this.#flush ??= setImmediate(() => this.#flushLater())
  }

  /** Hands all lines to the operating system: from there they survive the end of this process. */
  flush(): void {
    clearImmediate(this.#flush)
    this.#flush = undefined
    if (this.#failure !== undefined) throw this.#failure
    const bytes = Buffer.from(this.#lines)
    this.#lines = ''
    try {
      for (let written = 0; written < bytes.length; ) written += writeSync(this.#file, bytes, written)
    } catch (error) {
      this.#failure = this.#failed(error)
      throw this.#failure
    }
  }

  /** Afterwards nothing is written any more: the descriptor may by then stand for another file. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    try {
      this.flush()
      fsyncSync(this.#file)
    } finally {
      closeSync(this.#file)
    }
  }

  #flushLater(): void {
    try {
      this.flush()
    } catch (error) {
      if (error !== this.#failure) throw error
      // Nobody to throw to here: the next append does it, or close.
    }
  }

  #failed(error: unknown): FailedError {
    return new FailedError(`cannot write ${this.#path}: ${(error as Error).message}`, undefined, error)
  }
}
