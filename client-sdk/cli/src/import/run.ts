import type { Context } from '../context.js'
import { formatDuration } from '../duration.js'
import { exitStatus, FailedError, interruptStatus } from '../exit.js'
import type { Interrupt } from '../io.js'
import { limits } from '../limits.js'
import type { LinePosition } from '../lines.js'
import { write, writeJson } from '../output.js'
import { Progress } from '../progress.js'
import { formatBytes, formatCount, plural } from '../text.js'
import { AckedLog } from './acked-log.js'
import { Importer } from './importer.js'
import type { LineInput } from './input.js'
import { ResumeFile } from './resume.js'

/** The options of `kv import`, as parsed. */
export interface ImportCommandOptions {
  readonly inFlight: number
  /** Milliseconds. */
  readonly giveUpAfter: number
  readonly skipBad?: boolean
  /** False: whatever an earlier run left behind is passed over. */
  readonly resume: boolean
  readonly resumeFile?: string
  readonly ackedLog?: string
  readonly progress: boolean
}

/** Imports what `input` brings and tells how it went; resolves to the exit status. The caller closes the input. */
export async function runImport(context: Context, input: LineInput, options: ImportCommandOptions): Promise<number> {
  const { timeoutMs } = context.options
  const { clusterId } = await context.client().topology({ timeoutMs })
  return new ImportRun(context, input, options).run(clusterId)
}

type Ending = 'done' | 'interrupted' | 'failed'

class ImportRun {
  readonly #context: Context
  readonly #input: LineInput
  readonly #options: ImportCommandOptions
  readonly #progress: Progress
  #importer: Importer | undefined
  #resume: ResumeFile | undefined
  #interrupt: Interrupt | undefined
  #saving = false
  #badLines = 0

  constructor(context: Context, input: LineInput, options: ImportCommandOptions) {
    this.#context = context
    this.#input = input
    this.#options = options
    const shown = { verb: 'import', shown: options.progress, json: context.options.json }
    this.#progress = new Progress(context.io, shown, () => {
      const { acknowledged = 0, acknowledgedBytes = 0, retrying = 0 } = this.#importer?.counts ?? {}
      const note = retrying > 0 ? `${formatCount(retrying)} tried again` : undefined
      const total = input.identity?.bytes
      return { records: acknowledged, bytes: acknowledgedBytes, done: input.bytesRead(), total, note }
    })
  }

  async run(clusterId: string): Promise<number> {
    const { timing } = this.#context.io
    let acked: AckedLog | undefined
    try {
      const from = await this.#openResume(clusterId)
      acked = this.#options.ackedLog === undefined ? undefined : new AckedLog(this.#options.ackedLog)
      const importer = this.#createImporter(from, acked)
      this.#importer = importer
      const startedMs = timing.monotonic()
      const failure = await this.#import(importer, from, acked)
      return await this.#finish(importer, failure, timing.monotonic() - startedMs)
    } finally {
      this.#progress.end()
      acked?.close()
    }
  }

  /** Where to begin. Only files are resumed by themselves: what a pipe brings the next time nobody knows. */
  async #openResume(clusterId: string): Promise<LinePosition> {
    const start = { lines: 0, offset: 0 }
    const { resumeFile, resume } = this.#options
    if (this.#input.identity === undefined && resumeFile === undefined) return start
    const subject = { clusterId, file: this.#input.identity }
    try {
      const { file, position } = await ResumeFile.open(subject, this.#context.io.env, resumeFile, !resume)
      this.#resume = file
      if (position === undefined) return start
      const behind = `${formatCount(position.lines)} of ${this.#input.name}`
      this.#progress.note(`going on behind line ${behind}, where an earlier run stopped (--no-resume starts over)`)
      return position
    } catch (error) {
      if (resumeFile !== undefined || !(error instanceof FailedError)) throw error
      this.#progress.note(`${error.message}: if this run stops, the next one starts over`)
      return start
    }
  }

  #createImporter(from: LinePosition, acked: AckedLog | undefined): Importer {
    const { io, client, options } = this.#context
    const importer = new Importer({
      client: client(),
      timing: io.timing,
      inFlightMax: this.#options.inFlight,
      recordTimeoutMs: options.timeoutMs ?? limits.importRecordTimeoutMs,
      giveUpAfterMs: this.#options.giveUpAfter,
      skipBad: this.#options.skipBad === true,
      consistency: options.consistency,
      from,
      onAcknowledged: acked && ((record) => acked.append(record)),
      onBadLine: (error) => this.#noteBadLine(error.message),
    })
    // Otherwise a read that waits for a silent pipe would keep everybody waiting.
    importer.stopped.addEventListener('abort', () => void this.#input.close())
    return importer
  }

  #noteBadLine(reason: string): void {
    this.#badLines += 1
    if (this.#badLines <= limits.badLinesNamedMax) this.#progress.note(`passed over: ${reason}`)
    if (this.#badLines === limits.badLinesNamedMax) this.#progress.note('further bad lines are only counted')
  }

  /** Resolves to what made the import fail, when nothing is on its way any more or a second Ctrl-C has come. */
  async #import(importer: Importer, from: LinePosition, acked: AckedLog | undefined): Promise<unknown> {
    const { io } = this.#context
    let leave: () => void = () => undefined
    const left = new Promise<void>((resolve) => {
      leave = resolve
    })
    const forgetInterrupts = io.onInterrupt((signal) => {
      if (this.#interrupt !== undefined) return leave()
      this.#interrupt = signal
      importer.stop()
      const waiting = plural(importer.counts.inFlight, 'record')
      this.#progress.note(`stopping: waiting for ${waiting} on the way (Ctrl-C again leaves at once)`)
    })
    const stopSaving = io.timing.every(limits.checkpointIntervalMs, () => void this.#saveNowAndThen(importer))
    try {
      await Promise.race([importer.run(this.#input.lines(from)), left])
      acked?.close()
      return undefined
    } catch (error) {
      return error
    } finally {
      stopSaving()
      forgetInterrupts()
    }
  }

  async #saveNowAndThen(importer: Importer): Promise<void> {
    if (this.#saving) return
    this.#saving = true
    await this.#savePosition(importer)
    this.#saving = false
  }

  /** A position that cannot be written costs the next run some repetition, and this one nothing but a word. */
  async #savePosition(importer: Importer): Promise<void> {
    try {
      await this.#resume?.save(importer.position)
    } catch (error) {
      this.#progress.note(`the position could not be written to ${this.#resume?.path}: ${(error as Error).message}`)
      this.#resume = undefined
    }
  }

  async #finish(importer: Importer, failure: unknown, elapsedMs: number): Promise<number> {
    const ending: Ending = failure !== undefined ? 'failed' : importer.complete ? 'done' : 'interrupted'
    if (ending === 'done') await this.#resume?.remove()
    else await this.#savePosition(importer)
    this.#progress.end()
    await this.#tell(importer, ending, elapsedMs)
    if (failure !== undefined) throw failure
    if (ending === 'done') return exitStatus.done
    return interruptStatus(this.#interrupt)
  }

  async #tell(importer: Importer, ending: Ending, elapsedMs: number): Promise<void> {
    const { io, options } = this.#context
    const { acknowledged, acknowledgedBytes, expired, bad, retries } = importer.counts
    const recordsPerSecond = Math.round(acknowledged / Math.max(0.001, elapsedMs / 1000))
    const settledLines = importer.position.lines
    if (options.json) {
      const figures = { records: acknowledged, bytes: acknowledgedBytes, expired, bad, retries }
      const rate = { elapsedMs: Math.round(elapsedMs), recordsPerSecond }
      await writeJson(io.stdout, { status: ending, ...figures, ...rate, settledLines })
      return
    }
    const parts = [`${ending === 'done' ? 'imported' : 'stored'} ${plural(acknowledged, 'record')}`]
    parts.push(`(${formatBytes(acknowledgedBytes)}) in ${formatDuration(elapsedMs)}:`)
    parts.push(`${formatCount(recordsPerSecond)} records/s`)
    const more: string[] = []
    if (expired > 0) more.push(`${plural(expired, 'record')} had expired`)
    if (bad > 0) more.push(`${plural(bad, 'bad line')} passed over`)
    if (retries > 0) more.push(`${plural(retries, 'put')} tried again`)
    await write(io.stdout, `${parts.join(' ')}${more.map((text) => `; ${text}`).join('')}\n`)
    if (ending !== 'done') this.#progress.note(this.#howToGoOn(settledLines))
  }

  #howToGoOn(lines: number): string {
    const settled = `everything up to line ${formatCount(lines)} is stored`
    if (this.#resume !== undefined) return `${settled}; the same command goes on from there`
    return `${settled}; the same command starts over, which does no harm (for a pipe, --resume-file keeps the position)`
  }
}
