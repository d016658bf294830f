import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { readCheckpoint, removeCheckpoint, syncFolder, writeCheckpoint } from '../checkpoint.js'
import { FailedError } from '../exit.js'
import { type ExportTarget, encode } from './target.js'

/** What is exported: an unfinished file may be continued only where all of this is the same. */
export interface ExportSubject {
  readonly clusterId: string
  /** In base64. */
  readonly prefix: string
  readonly gzip: boolean
}

/** Where an export that was interrupted goes on. */
export interface ExportPosition {
  readonly cursor: string
  readonly records: number
  /** Size of the unfinished file up to here. */
  readonly bytes: number
  /** Unix time in milliseconds at which the export began. */
  readonly startedMs: number
}

const format = 'kv-export-1'

/**
 * A regular file. The lines go to `FILE.partial`, which takes the name FILE only when it is complete and on disk: FILE
 * holds a whole export or what it held before. `FILE.partial.json` remembers a size of the unfinished file and the
 * cursor that belongs to it; what lies behind that size is written anew.
 */
export class FileTarget implements ExportTarget {
  readonly name: string
  readonly #file: FileHandle
  readonly #subject: ExportSubject
  readonly #startedMs: number
  /** Everything up to here is written, if not yet on disk. */
  #position: ExportPosition | undefined
  #savedBytes: number
  #bytes: number

  private constructor(
    name: string,
    file: FileHandle,
    subject: ExportSubject,
    startedMs: number,
    position: ExportPosition | undefined,
  ) {
    this.name = name
    this.#file = file
    this.#subject = subject
    this.#startedMs = startedMs
    this.#position = position
    this.#bytes = position?.bytes ?? 0
    this.#savedBytes = this.#bytes
  }

  /** Goes on with what an earlier export left behind, unless `startOver`. Throws FailedErrors. */
  static async open(
    name: string,
    subject: ExportSubject,
    startOver: boolean,
    nowMs: number,
  ): Promise<{ target: FileTarget; position: ExportPosition | undefined }> {
    try {
      const resumed = startOver ? undefined : await openUnfinished(name, subject)
      if (resumed !== undefined) {
        const { file, position } = resumed
        return { target: new FileTarget(name, file, subject, position.startedMs, position), position }
      }
      await removeCheckpoint(statePath(name))
      const file = await open(partialPath(name), 'w', 0o600)
      return { target: new FileTarget(name, file, subject, nowMs, undefined), position: undefined }
    } catch (error) {
      throw writeFailure(name, error)
    }
  }

  write(text: string, records: number, cursor: string | undefined): Promise<void> {
    return this.#guard(async () => {
      const bytes = await encode(text, this.#subject.gzip)
      for (let written = 0; written < bytes.length; ) {
        const at = this.#bytes + written
        written += (await this.#file.write(bytes, written, bytes.length - written, at)).bytesWritten
      }
      this.#bytes += bytes.length
      if (cursor === undefined) return
      this.#position = { cursor, records, bytes: this.#bytes, startedMs: this.#startedMs }
    })
  }

  checkpoint(): Promise<void> {
    return this.#guard(async () => {
      if (this.#position === undefined || this.#position.bytes === this.#savedBytes) return
      const position = this.#position
      await this.#file.datasync()
      await writeCheckpoint(statePath(this.name), { format, ...this.#subject, position })
      this.#savedBytes = position.bytes
    })
  }

  async finish(): Promise<void> {
    // No bytes at all are no gzip file.
    if (this.#subject.gzip && this.#bytes === 0) await this.write('', 0, undefined)
    await this.#guard(async () => {
      // An earlier run may have written further than this one, which began behind its last checkpoint.
      await this.#file.truncate(this.#bytes)
      await this.#file.sync()
      await this.#file.close()
      await rename(partialPath(this.name), this.name)
      await syncFolder(dirname(this.name))
      await removeCheckpoint(statePath(this.name))
    })
  }

  async abandon(): Promise<boolean> {
    try {
      await this.checkpoint()
    } finally {
      await this.#file.close()
    }
    if (this.#position === undefined) await rm(partialPath(this.name), { force: true })
    return this.#position !== undefined
  }

  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      throw writeFailure(this.name, error)
    }
  }
}

const partialPath = (name: string): string => `${name}.partial`
const statePath = (name: string): string => `${name}.partial.json`

async function openUnfinished(
  name: string,
  subject: ExportSubject,
): Promise<{ file: FileHandle; position: ExportPosition } | undefined> {
  const position = positionIn(await readCheckpoint(statePath(name)), subject)
  if (position === undefined) return undefined
  let file: FileHandle
  try {
    file = await open(partialPath(name), 'r+')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  if ((await file.stat()).size < position.bytes) {
    await file.close()
    return undefined
  }
  return { file, position }
}

/** Undefined where the state is of another export: that one is given up for this one. */
function positionIn(stored: unknown, subject: ExportSubject): ExportPosition | undefined {
  const state = (stored ?? {}) as Partial<Record<string, unknown>>
  const same =
    state['format'] === format &&
    state['clusterId'] === subject.clusterId &&
    state['prefix'] === subject.prefix &&
    state['gzip'] === subject.gzip
  const { cursor, records, bytes, startedMs } = (state['position'] ?? {}) as Partial<ExportPosition>
  if (!same || typeof cursor !== 'string') return undefined
  if (!Number.isSafeInteger(records) || !Number.isSafeInteger(bytes) || !Number.isSafeInteger(startedMs))
    return undefined
  return { cursor, records: records!, bytes: bytes!, startedMs: startedMs! }
}

function writeFailure(name: string, error: unknown): FailedError {
  if (error instanceof FailedError) return error
  return new FailedError(`cannot write ${name}: ${(error as Error).message}`, undefined, error)
}
