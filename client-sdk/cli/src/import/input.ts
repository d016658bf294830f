import { type FileHandle, open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { FailedError } from '../exit.js'
import { limits } from '../limits.js'
import { type Line, type LinePosition, LineSplitter } from '../lines.js'

/** What tells one regular file from another when an import is resumed. */
export interface FileIdentity {
  /** Absolute. */
  readonly path: string
  readonly bytes: number
  readonly modifiedMs: number
}

/** Lines to import, gzip or not: told by the first bytes, whatever the name says. */
export interface LineInput {
  /** For messages. */
  readonly name: string
  /** Undefined for pipes and devices, whose size nobody knows and which cannot be entered in the middle. */
  readonly identity: FileIdentity | undefined
  /** Where the reader stands in the file or stream, before decompression. */
  bytesRead(): number
  /** The lines behind `from`, a chunk's worth at a time. May be called once. Throws FailedErrors. */
  lines(from: LinePosition): AsyncGenerator<Line[], void, undefined>
  /** Ends the input, also while a read waits for data: `lines` then ends or throws. */
  close(): Promise<void>
}

/** Opens a regular file, or whatever else can be read under that name. */
export async function openFileInput(path: string): Promise<LineInput> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const stat = await file.stat()
    if (stat.isFile())
      return await regularFileInput(file, path, { path: resolve(path), bytes: stat.size, modifiedMs: stat.mtimeMs })
    if (stat.isDirectory()) throw new FailedError(`${path} is a directory`, 'Name a file of JSON lines.')
    return streamInput(file.createReadStream({ highWaterMark: limits.readChunkBytes }), path)
  } catch (error) {
    await file?.close()
    throw readFailure(path, error)
  }
}

export function streamInput(stream: Readable, name: string): LineInput {
  const counter = { bytes: 0 }
  return {
    name,
    identity: undefined,
    bytesRead: () => counter.bytes,
    lines: (from) =>
      readLines(name, decompress(count(stream, counter), undefined), { lines: 0, offset: 0 }, from.lines),
    close: async () => {
      stream.destroy()
    },
  }
}

async function regularFileInput(file: FileHandle, name: string, identity: FileIdentity): Promise<LineInput> {
  const counter = { bytes: 0 }
  const head = Buffer.alloc(2)
  const { bytesRead } = await file.read(head, 0, 2, 0)
  const gzip = isGzip(head.subarray(0, bytesRead))
  let stream: Readable | undefined
  return {
    name,
    identity,
    bytesRead: () => counter.bytes,
    lines: (from) => {
      // Compressed data can only be read from their beginning.
      const start = gzip ? { lines: 0, offset: 0 } : from
      counter.bytes = start.offset
      stream = file.createReadStream({ start: start.offset, highWaterMark: limits.readChunkBytes })
      return readLines(name, decompress(count(stream, counter), gzip), start, from.lines)
    },
    close: async () => {
      if (stream === undefined) await file.close()
      else stream.destroy()
    },
  }
}

async function* readLines(
  name: string,
  chunks: AsyncIterable<Buffer>,
  start: LinePosition,
  skipThrough: number,
): AsyncGenerator<Line[], void, undefined> {
  const splitter = new LineSplitter(limits.lineBytesMax, start)
  const wanted = (lines: Line[]): Line[] =>
    lines.length > 0 && lines[0]!.number <= skipThrough ? lines.filter((line) => line.number > skipThrough) : lines
  try {
    for await (const chunk of chunks) {
      const lines = wanted(splitter.push(chunk))
      if (lines.length > 0) yield lines
    }
  } catch (error) {
    throw readFailure(name, error)
  }
  const last = wanted(splitter.end())
  if (last.length > 0) yield last
}

async function* count(stream: Readable, counter: { bytes: number }): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    counter.bytes += chunk.length
    yield chunk
  }
}

/** `gzip` undefined: to be told by the first bytes. */
async function* decompress(
  chunks: AsyncGenerator<Buffer, void, undefined>,
  gzip: boolean | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  const head = gzip === undefined ? await takeHead(chunks, 2) : Buffer.alloc(0)
  const all = prepend(head, chunks)
  if (!(gzip ?? isGzip(head))) return yield* all
  const gunzip = createGunzip({ chunkSize: limits.readChunkBytes })
  // What goes wrong, here or in the source, destroys `gunzip` and so reaches whoever reads from it.
  pipeline(Readable.from(all), gunzip, () => undefined)
  yield* gunzip as AsyncIterable<Buffer>
}

/** A pipe may deliver single bytes. */
async function takeHead(chunks: AsyncGenerator<Buffer, void, undefined>, length: number): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0)
  while (head.length < length) {
    const next = await chunks.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  return head
}

async function* prepend(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  if (head.length > 0) yield head
  yield* rest
}

function isGzip(head: Uint8Array): boolean {
  return head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b
}

function readFailure(name: string, error: unknown): FailedError {
  if (error instanceof FailedError) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return new FailedError(`${name} does not exist`, undefined, error)
  if (code === 'Z_BUF_ERROR') return new FailedError(`${name} is cut short: its gzip data end early`, undefined, error)
  if (code?.startsWith('Z_')) return new FailedError(`${name} is damaged: ${message}`, undefined, error)
  return new FailedError(`cannot read ${name}: ${message}`, undefined, error)
}
