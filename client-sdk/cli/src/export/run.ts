import type { ScanEntry } from '@quorumkv/client'
import { KvError } from '@quorumkv/client'
import { type Context, callOptions } from '../context.js'
import { formatDuration } from '../duration.js'
import { exitStatus, interruptStatus } from '../exit.js'
import type { Interrupt } from '../io.js'
import { encodeLine } from '../jsonl.js'
import { limits } from '../limits.js'
import { write, writeJson } from '../output.js'
import { Progress } from '../progress.js'
import { formatBytes, formatCount, plural } from '../text.js'
import { FileTarget } from './file-target.js'
import { type ExportTarget, openSpecialFile, StreamTarget } from './target.js'

/** The options of `kv export`, as parsed. */
export interface ExportCommandOptions {
  readonly gzip?: boolean
  /** False: an unfinished file of an earlier run is thrown away. */
  readonly resume: boolean
  readonly progress: boolean
}

/** Exports the keys that begin with `prefix` to `file` (`-`: standard output); resolves to the exit status. */
export function runExport(
  context: Context,
  file: string,
  prefix: Uint8Array,
  options: ExportCommandOptions,
): Promise<number> {
  return new ExportRun(context, file, prefix, options).run()
}

class ExportRun {
  readonly #context: Context
  readonly #file: string
  readonly #prefix: Uint8Array
  readonly #options: ExportCommandOptions
  readonly #progress: Progress
  readonly #stop = new AbortController()
  #interrupt: Interrupt | undefined
  #records = 0
  #bytes = 0
  /** Records of an earlier run that this one goes on behind. */
  #earlier = 0
  #expected: number | undefined

  constructor(context: Context, file: string, prefix: Uint8Array, options: ExportCommandOptions) {
    this.#context = context
    // Where standard output is redirected to a file, that name would have the file replaced under the shell's feet.
    this.#file = file === '/dev/stdout' ? '-' : file
    this.#prefix = prefix
    this.#options = options
    const shown = { verb: 'export', shown: options.progress, json: context.options.json }
    this.#progress = new Progress(context.io, shown, () => {
      const records = this.#records
      return { records, bytes: this.#bytes, done: records, total: this.#expected }
    })
  }

  async run(): Promise<number> {
    const { io } = this.#context
    const startedMs = io.timing.monotonic()
    const forgetInterrupts = io.onInterrupt((signal) => {
      this.#interrupt ??= signal
      this.#stop.abort()
    })
    try {
      const { target, cursor } = await this.#openTarget()
      await this.#fill(target, cursor)
      this.#progress.end()
      const done = this.#interrupt === undefined
      await this.#tell(target, done, io.timing.monotonic() - startedMs)
      if (done) return exitStatus.done
      return interruptStatus(this.#interrupt)
    } finally {
      forgetInterrupts()
      this.#progress.end()
    }
  }

  async #openTarget(): Promise<{ target: ExportTarget; cursor: string | undefined }> {
    const { io, client, options } = this.#context
    const gzip = this.#options.gzip === true
    const { clusterId, replication, members } = await client().topology({ timeoutMs: options.timeoutMs })
    if (this.#prefix.length === 0) await this.#estimate(Math.min(replication.replicationFactor, members.length))
    if (this.#file === '-') {
      return { target: new StreamTarget(io.stdout, 'standard output', gzip, false), cursor: undefined }
    }
    const found = await openSpecialFile(this.#file, gzip)
    if ('target' in found) return { target: found.target, cursor: undefined }
    const subject = { clusterId, prefix: Buffer.from(this.#prefix).toString('base64'), gzip }
    const { target, position } = await FileTarget.open(found.path, subject, !this.#options.resume, io.timing.wall())
    if (position !== undefined) {
      this.#earlier = position.records
      this.#records = position.records
      const begun = new Date(position.startedMs).toISOString()
      const behind = plural(position.records, 'record')
      this.#progress.note(`going on behind ${behind} of the export begun at ${begun} (--no-resume starts over)`)
    }
    return { target, cursor: position?.cursor }
  }

  /** How many keys there are, so that progress can say a share; without it the export does as well. */
  async #estimate(copies: number): Promise<void> {
    const { client, options } = this.#context
    if (options.json || !this.#options.progress || copies === 0) return
    const all = await client().statusAll({ timeoutMs: options.timeoutMs })
    if (!all.every((one) => one.ok)) return
    this.#expected = Math.round(all.reduce((sum, one) => sum + (one.ok ? one.status.storage.entries : 0), 0) / copies)
  }

  /** Writes all entries, or until an interrupt; afterwards the target is closed, whatever happened. */
  async #fill(target: ExportTarget, cursor: string | undefined): Promise<void> {
    let finished = false
    try {
      await this.#copy(target, cursor)
      if (this.#interrupt === undefined) {
        await target.finish()
        finished = true
      }
    } finally {
      if (!finished && (await this.#abandon(target))) {
        this.#progress.note('the same command goes on from here')
      }
    }
  }

  /** A target that fails to close after another failure has nothing to add to it. */
  async #abandon(target: ExportTarget): Promise<boolean> {
    try {
      return await target.abandon()
    } catch (error) {
      this.#progress.note(`the unfinished export cannot be continued: ${(error as Error).message}`)
      return false
    }
  }

  async #copy(target: ExportTarget, cursor: string | undefined): Promise<void> {
    const { io } = this.#context
    let text = ''
    let records = this.#records
    let checkpointMs = io.timing.monotonic()
    try {
      for await (const entry of this.#scan(cursor)) {
        text += lineOf(entry)
        records += 1
        if (entry.cursor === undefined && text.length < limits.exportChunkChars) continue
        await this.#write(target, text, records, entry.cursor)
        text = ''
        if (this.#stop.signal.aborted) return
        if (io.timing.monotonic() - checkpointMs < limits.checkpointIntervalMs) continue
        await target.checkpoint()
        checkpointMs = io.timing.monotonic()
      }
    } catch (error) {
      const stopped = this.#interrupt !== undefined && error instanceof KvError && error.code === 'cancelled'
      if (!stopped) throw error
      return
    }
    if (text !== '') await this.#write(target, text, records, undefined)
  }

  async #write(target: ExportTarget, text: string, records: number, cursor: string | undefined): Promise<void> {
    await target.write(text, records, cursor)
    this.#bytes += Buffer.byteLength(text)
    this.#records = records
  }

  #scan(cursor: string | undefined): AsyncIterable<ScanEntry> {
    const { client, options } = this.#context
    const position = { prefix: this.#prefix, cursor, pageSize: limits.exportPageEntries }
    return client().scan({ ...callOptions(options), ...position, signal: this.#stop.signal })
  }

  async #tell(target: ExportTarget, done: boolean, elapsedMs: number): Promise<void> {
    const { io, options } = this.#context
    const records = this.#records - this.#earlier
    const recordsPerSecond = Math.round(records / Math.max(0.001, elapsedMs / 1000))
    // Where standard output carries the data, what is told about them goes beside it.
    const output = this.#file === '-' ? io.stderr : io.stdout
    if (options.json) {
      const rate = { elapsedMs: Math.round(elapsedMs), recordsPerSecond }
      const status = done ? 'done' : 'interrupted'
      await writeJson(output, {
        status,
        records: this.#records,
        resumedBehind: this.#earlier,
        bytes: this.#bytes,
        ...rate,
      })
      return
    }
    const what = `${done ? 'exported' : 'stopped after'} ${plural(this.#records, 'record')}`
    const size = `(${formatBytes(this.#bytes)} of JSON)`
    const rate = `${formatDuration(elapsedMs)}: ${formatCount(recordsPerSecond)} records/s`
    await write(output, `${what} ${size} to ${target.name} in ${rate}\n`)
  }
}

function lineOf({ keyBytes: key, valueBytes: value, expiresAt }: ScanEntry): string {
  return encodeLine({ key, value, expiresAtMs: expiresAt?.getTime() })
}
