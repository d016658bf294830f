import { createWriteStream } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { FailedError } from '../exit.js'
import type { Output } from '../io.js'
import { write } from '../output.js'

/** Where an export goes. Writes are awaited: whoever takes them slowly slows the export down. */
export interface ExportTarget {
  readonly name: string
  /** Whole lines. `cursor`, where it is given, leads a scan on behind the last of them; `records` counts all so far. */
  write(text: string, records: number, cursor: string | undefined): Promise<void>
  /** Makes what has been written survive a crash, so that a later export can go on behind it. */
  checkpoint(): Promise<void>
  /** Everything has been written. */
  finish(): Promise<void>
  /** Nothing more will come. True: a later export can go on behind what is there. */
  abandon(): Promise<boolean>
}

const compress = promisify(gzip)

/**
 * With gzip every write becomes a member of its own; members in a row are a gzip file (RFC 1952, 2.2). So a file can
 * be continued behind any write, and memory is bounded by one.
 */
export async function encode(text: string, gzipped: boolean): Promise<Uint8Array> {
  const bytes = Buffer.from(text)
  return gzipped ? await compress(bytes) : bytes
}

/** A pipe or a device: nothing can be taken back or continued. */
export class StreamTarget implements ExportTarget {
  readonly name: string
  readonly #output: Output
  readonly #gzip: boolean
  readonly #owned: boolean
  #empty = true

  /** `owned`: the output is closed at the end. */
  constructor(output: Output, name: string, gzipped: boolean, owned: boolean) {
    this.#output = output
    this.name = name
    this.#gzip = gzipped
    this.#owned = owned
  }

  async write(text: string): Promise<void> {
    this.#empty = false
    await write(this.#output, await encode(text, this.#gzip))
  }

  checkpoint(): Promise<void> {
    return Promise.resolve()
  }

  async finish(): Promise<void> {
    // No bytes at all are no gzip file.
    if (this.#gzip && this.#empty) await this.write('')
    await this.abandon()
  }

  async abandon(): Promise<boolean> {
    if (this.#owned) await new Promise<void>((resolve) => this.#output.end(resolve))
    return false
  }
}

/**
 * What stands under the name: undefined where there is nothing or a regular file (given with its real path), which may
 * be replaced; otherwise a target that writes to the pipe or device itself, which must not be.
 */
export async function openSpecialFile(
  path: string,
  gzipped: boolean,
): Promise<{ readonly target: ExportTarget } | { readonly path: string }> {
  try {
    const found = await stat(path)
    if (found.isFile()) return { path: await realpath(path) }
    if (found.isDirectory()) throw new FailedError(`${path} is a directory`, 'Name a file.')
    const output = createWriteStream(path)
    // Failed writes are told to whoever wrote.
    output.on('error', () => undefined)
    return { target: new StreamTarget(output, path, gzipped, true) }
  } catch (error) {
    if (error instanceof FailedError) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { path }
    throw new FailedError(`cannot write ${path}: ${(error as Error).message}`, undefined, error)
  }
}
