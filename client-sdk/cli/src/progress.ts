import { formatDuration } from './duration.js'
import type { Io } from './io.js'
import { limits } from './limits.js'
import { formatBytes, formatCount, plural } from './text.js'

/** How far something has come. */
export interface ProgressSample {
  readonly records: number
  /** What `records` counts; default `record`. */
  readonly noun?: string | undefined
  /** Undefined: nothing to be told. */
  readonly bytes: number | undefined
  /** In the unit of `total`. */
  readonly done: number
  /** Undefined: nobody knows. */
  readonly total: number | undefined
  /** What else is worth saying. */
  readonly note?: string | undefined
}

export interface ProgressOptions {
  /** Begins each line. */
  readonly verb: string
  /** False: only notes are shown. */
  readonly shown: boolean
  /** Notes are told as JSON, and progress not at all. */
  readonly json: boolean
}

interface TimedSample extends ProgressSample {
  readonly atMs: number
}

/** The last seconds decide the rate: an average since the start hides that a node was lost a minute ago. */
const rateWindowMs = 10_000

/** Shows progress on standard error: a bar that is redrawn on a terminal, a line every few seconds elsewhere. */
export class Progress {
  readonly #io: Io
  readonly #verb: string
  readonly #json: boolean
  readonly #sample: () => ProgressSample
  readonly #stop: () => void
  #samples: TimedSample[] = []
  #drawn = false

  constructor(io: Io, { verb, shown, json }: ProgressOptions, sample: () => ProgressSample) {
    this.#io = io
    this.#json = json
    this.#verb = verb
    this.#sample = sample
    const everyMs = this.#isTerminal ? limits.progressTerminalMs : limits.progressPlainMs
    this.#take()
    this.#stop = shown && !json ? io.timing.every(everyMs, () => this.#show()) : () => undefined
  }

  /** A line of its own; one object of JSON where standard error is read by a program. */
  note(text: string): void {
    this.clear()
    this.#io.stderr.write(this.#json ? `${JSON.stringify({ note: text })}\n` : `kv: ${text}\n`)
  }

  end(): void {
    this.#stop()
    this.clear()
  }

  /** Makes room for what somebody else writes to the terminal. */
  clear(): void {
    if (this.#drawn) this.#io.stderr.write('\r\x1b[K')
    this.#drawn = false
  }

  get #isTerminal(): boolean {
    return this.#io.stderr.isTTY === true
  }

  #take(): TimedSample {
    const now = { ...this.#sample(), atMs: this.#io.timing.monotonic() }
    this.#samples.push(now)
    while (this.#samples.length > 2 && now.atMs - this.#samples[1]!.atMs >= rateWindowMs) this.#samples.shift()
    return now
  }

  #show(): void {
    const now = this.#take()
    const line = describeProgress(this.#verb, this.#samples[0]!, now, this.#isTerminal)
    if (this.#isTerminal) {
      this.#io.stderr.write(`\r${line.slice(0, (this.#io.stderr.columns || 80) - 1)}\x1b[K`)
      this.#drawn = true
    } else {
      this.#io.stderr.write(`${line}\n`)
    }
  }
}

/** One line: share, records, rate, bytes and the time that is left at the rate between the two samples. */
export function describeProgress(verb: string, before: TimedSample, now: TimedSample, bar: boolean): string {
  const seconds = Math.max(0.001, (now.atMs - before.atMs) / 1000)
  const parts = [verb]
  const share = now.total === undefined || now.total <= 0 ? undefined : Math.min(1, now.done / now.total)
  if (share !== undefined) {
    const width = 20
    const filled = Math.floor(share * width)
    if (bar) parts.push(`[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]`)
    parts.push(`${Math.floor(share * 100)}%`)
  }
  parts.push(plural(now.records, now.noun ?? 'record'))
  parts.push(`${formatCount((now.records - before.records) / seconds)}/s`)
  if (now.bytes !== undefined) parts.push(formatBytes(now.bytes))
  const rate = (now.done - before.done) / seconds
  if (share !== undefined && rate > 0 && now.total! > now.done) {
    parts.push(`${formatDuration(((now.total! - now.done) / rate) * 1000)} left`)
  }
  if (now.note !== undefined) parts.push(now.note)
  return parts.join('  ')
}
