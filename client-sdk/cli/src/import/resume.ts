import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { readCheckpoint, removeCheckpoint, writeCheckpoint } from '../checkpoint.js'
import { FailedError } from '../exit.js'
import type { Io } from '../io.js'
import type { LinePosition } from '../lines.js'
import type { FileIdentity } from './input.js'

/** What an import works on: two imports may share a position only where all of this is the same. */
export interface ImportSubject {
  readonly clusterId: string
  /** Undefined: a stream, of which nobody can tell whether it brings the same again. */
  readonly file: FileIdentity | undefined
}

const format = 'kv-import-1'

/** Where an import has come to, kept in a file while it runs and until it has ended well. */
export class ResumeFile {
  readonly path: string
  readonly #subject: ImportSubject
  /** Saves wait for each other: two at once would write the same temporary file. */
  #saving: Promise<void> = Promise.resolve()
  #savedLines: number

  private constructor(path: string, subject: ImportSubject, savedLines: number) {
    this.path = path
    this.#subject = subject
    this.#savedLines = savedLines
  }

  /**
   * Opens the resume file of an import and says where to go on; undefined: at the beginning. `given` is the place that
   * the user chose: a file there that belongs to another import is refused unless `startOver`. Otherwise
   * the place follows from what is imported and where to. Throws a FailedError where nothing can be kept there.
   */
  static async open(
    subject: ImportSubject,
    env: Io['env'],
    given: string | undefined,
    startOver: boolean,
  ): Promise<{ file: ResumeFile; position: LinePosition | undefined }> {
    const path = given ?? defaultPath(subject, env)
    try {
      const position = startOver ? undefined : positionIn(path, await readCheckpoint(path), subject)
      const file = new ResumeFile(path, subject, position?.lines ?? -1)
      if (position === undefined) await file.save({ lines: 0, offset: 0 })
      return { file, position: position?.lines === 0 ? undefined : position }
    } catch (error) {
      if (error instanceof FailedError) throw error
      throw new FailedError(
        `cannot keep the import's position in ${path}: ${(error as Error).message}`,
        undefined,
        error,
      )
    }
  }

  /** Remembers, durably, that everything up to `position` is in the cluster. */
  save(position: LinePosition): Promise<void> {
    const saving = this.#saving.then(async () => {
      if (position.lines === this.#savedLines) return
      await writeCheckpoint(this.path, { format, ...this.#subject, position })
      this.#savedLines = position.lines
    })
    // A failed save is told to whoever asked for it, and does not stand in the way of the next.
    this.#saving = saving.catch(() => undefined)
    return saving
  }

  /** The import has ended well: the same command imports from the beginning again. */
  async remove(): Promise<void> {
    await this.#saving
    await removeCheckpoint(this.path)
  }
}

function defaultPath({ clusterId, file }: ImportSubject, env: Io['env']): string {
  // A relative XDG_STATE_HOME is to be ignored, says the XDG base directory specification.
  const given = env['XDG_STATE_HOME']
  const state = given !== undefined && isAbsolute(given) ? given : join(env['HOME'] || homedir(), '.local', 'state')
  const identity = JSON.stringify([clusterId, file && [file.path, file.bytes, file.modifiedMs]])
  const name = createHash('sha256').update(identity).digest('hex').slice(0, 32)
  return join(state, 'quorumkv', `import-${name}.json`)
}

function positionIn(path: string, stored: unknown, subject: ImportSubject): LinePosition | undefined {
  if (stored === undefined) return undefined
  const { format: storedFormat, clusterId, file, position } = (stored ?? {}) as Partial<Record<string, unknown>>
  const same =
    storedFormat === format &&
    clusterId === subject.clusterId &&
    JSON.stringify(file) === JSON.stringify(subject.file) &&
    isPosition(position)
  if (same) return position
  throw new FailedError(
    `${path} is not the position of this import: another file, another cluster, or the file has changed since`,
    'Start from the first line with --no-resume, or name another --resume-file.',
  )
}

function isPosition(value: unknown): value is LinePosition {
  const { lines, offset } = (value ?? {}) as Partial<LinePosition>
  return Number.isSafeInteger(lines) && Number.isSafeInteger(offset) && lines! >= 0 && offset! >= lines!
}
