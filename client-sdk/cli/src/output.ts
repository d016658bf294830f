import { isUtf8 } from 'node:buffer'
import pico from 'picocolors'
import type { Colors } from 'picocolors/types.js'
import { FailedError } from './exit.js'
import type { Io, Output } from './io.js'
import { limits } from './limits.js'
import { formatBytes, shorten, visible } from './text.js'

/** Whoever read our output has gone: nobody is left to tell. */
export class OutputClosedError extends Error {
  override readonly name = 'OutputClosedError'
}

/** Resolves when the output has taken `data`, which is how a slow reader slows down whoever produces. */
export function write(output: Output, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(data, (error) => {
      if (error === undefined || error === null) resolve()
      else if (isClosed(error)) reject(new OutputClosedError(error.message, { cause: error }))
      else reject(new FailedError(`cannot write the output: ${error.message}`, undefined, error))
    })
  })
}

function isClosed(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED' || code === 'ERR_STREAM_WRITE_AFTER_END'
}

/** One value as one line of JSON. */
export function writeJson(output: Output, value: unknown): Promise<void> {
  return write(output, `${JSON.stringify(value)}\n`)
}

/** Colours only for terminals, and not where NO_COLOR is set (https://no-color.org) or the terminal is dumb. */
export function coloursFor(output: Output, env: Io['env']): Colors {
  return pico.createColors(output.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb')
}

/** For what must hold no escape sequences. */
export const plainColours: Colors = pico.createColors(false)

export function asText(bytes: Uint8Array): string | undefined {
  if (!isUtf8(bytes)) return undefined
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}

/** Bytes on one line of a terminal: text where they are text, a note of their size where they are not. */
export function shownOnOneLine(bytes: Uint8Array, colours: Colors): string {
  const text = asText(bytes)
  if (text === undefined) return colours.dim(`(${formatBytes(bytes.length)}, not text)`)
  return shorten(visible(text), limits.shownValueCharsMax, bytes.length)
}

/** Gathers small pieces into writes of some size. `flush` at the end. */
export class GatheringWriter {
  readonly #output: Output
  #pieces: Uint8Array[] = []
  #bytes = 0

  constructor(output: Output) {
    this.#output = output
  }

  /** Takes a piece without writing; a `write` must follow before long. */
  add(piece: string | Uint8Array): void {
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece
    this.#pieces.push(bytes)
    this.#bytes += bytes.length
  }

  /** A promise only when something has to be waited for. */
  write(piece: string | Uint8Array): Promise<void> | undefined {
    this.add(piece)
    return this.#bytes < limits.writeChunkBytes ? undefined : this.flush()
  }

  async flush(): Promise<void> {
    if (this.#bytes === 0) return
    const chunk = Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#bytes = 0
    await write(this.#output, chunk)
  }
}
