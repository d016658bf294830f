import type { Consistency, KvOperations } from '@quorumkv/client'
import { KvError } from '@quorumkv/client'
import type { Timing } from '../io.js'
import { BadLineError, decodeLine, type JsonlRecord } from '../jsonl.js'
import { limits } from '../limits.js'
import type { Line, LinePosition } from '../lines.js'
import { Watermark } from './watermark.js'

export interface ImporterOptions {
  readonly client: Pick<KvOperations, 'put'>
  readonly timing: Timing
  /** Puts that may wait for their acknowledgement at a time. */
  readonly inFlightMax: number
  /** How long one attempt may take. */
  readonly recordTimeoutMs: number
  /** How long a record is tried again before the import fails. */
  readonly giveUpAfterMs: number
  /** Counts bad lines and goes on. */
  readonly skipBad: boolean
  readonly consistency?: Consistency | undefined
  /** Where a resumed import goes on. */
  readonly from?: LinePosition | undefined
  /** Called once per record, after its acknowledgement. */
  readonly onAcknowledged?: ((record: JsonlRecord) => void) | undefined
  /** Called for every bad line that is skipped. */
  readonly onBadLine?: ((error: BadInputError) => void) | undefined
}

export interface ImportCounts {
  /** Records that the cluster acknowledged. */
  acknowledged: number
  /** Bytes of their lines. */
  acknowledgedBytes: number
  /** Records that had expired already. */
  expired: number
  /** Bad lines that were skipped. */
  bad: number
  /** Attempts beyond the first. */
  retries: number
  /** Puts that wait for their acknowledgement now. */
  inFlight: number
  /** Of these, how many failed at least once and are tried again. */
  retrying: number
}

/** A line that is no record, or one that the cluster will never take. */
export class BadInputError extends Error {
  override readonly name = 'BadInputError'
  readonly line: number

  constructor(line: number, reason: string) {
    super(`line ${line} ${reason}`)
    this.line = line
  }
}

/** A record that could not be stored; its line, and every line before it that is not settled, has to be imported again. */
export class PutFailedError extends Error {
  override readonly name = 'PutFailedError'
  readonly line: number
  override readonly cause: KvError

  constructor(line: number, cause: KvError, waitedMs: number) {
    super(`line ${line} could not be stored, tried for ${Math.round(waitedMs / 1000)} s: ${cause.message}`)
    this.line = line
    this.cause = cause
  }
}

interface Pending {
  readonly line: Line
  readonly record: JsonlRecord
}

/**
 * Puts the records of an input into the cluster, many at a time, but of one key only one at a time and in the order of
 * the lines: the last line of a key decides its value, whatever had to be repeated on the way. Reading waits while too
 * many puts, or too many bytes, are on their way.
 */
export class Importer {
  readonly counts: ImportCounts = {
    acknowledged: 0,
    acknowledgedBytes: 0,
    expired: 0,
    bad: 0,
    retries: 0,
    inFlight: 0,
    retrying: 0,
  }
  readonly #options: ImporterOptions
  readonly #watermark: Watermark
  /** By the key's bytes as latin1 text: what waits behind the one record of that key that is on its way. */
  readonly #busy = new Map<string, Pending[]>()
  readonly #stop = new AbortController()
  #bytesInFlight = 0
  #lastLine: number
  #ended = false
  #failure: Error | undefined
  #wake: (() => void) | undefined

  constructor(options: ImporterOptions) {
    this.#options = options
    this.#watermark = new Watermark(limits.importAheadLinesMax, options.from)
    this.#lastLine = this.#watermark.position.lines
  }

  /** Everything up to here is in the cluster (or was skipped): a later run may start behind it. */
  get position(): LinePosition {
    return this.#watermark.position
  }

  /** Whether the input has been read to its end and every line of it is settled. */
  get complete(): boolean {
    return this.#ended && this.position.lines === this.#lastLine
  }

  /** Aborted by `stop()` and by the first failure: whoever feeds `run` has to end its input then. */
  get stopped(): AbortSignal {
    return this.#stop.signal
  }

  /** Reads no further, sends nothing more, and lets `run` end when what is on its way has ended. */
  stop(): void {
    this.#stop.abort()
    this.#wake?.()
  }

  /**
   * Resolves when all lines are settled, or after `stop()`. Rejects with a BadInputError, a PutFailedError, or what
   * reading threw; also then only after everything that is on its way has ended.
   */
  async run(batches: AsyncIterable<Line[]>): Promise<void> {
    try {
      await this.#read(batches)
    } catch (error) {
      // An input that was ended because of a stop complains about that.
      if (!this.stopped.aborted) this.#fail(error as Error)
    }
    while (this.counts.inFlight > 0) await this.#change()
    if (this.#failure !== undefined) throw this.#failure
  }

  async #read(batches: AsyncIterable<Line[]>): Promise<void> {
    for await (const batch of batches) {
      for (const line of batch) {
        while (!this.stopped.aborted && this.#isFull(line)) await this.#change()
        if (this.stopped.aborted) return
        this.#lastLine = line.number
        this.#accept(line)
      }
    }
    this.#ended = !this.stopped.aborted
  }

  #isFull(next: Line): boolean {
    if (this.counts.inFlight === 0) return false
    return (
      this.counts.inFlight >= this.#options.inFlightMax ||
      this.#bytesInFlight + next.bytes.length > limits.importInFlightBytesMax ||
      !this.#watermark.hasRoomFor(next.number)
    )
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.stop()
  }

  #accept(line: Line): void {
    const record = this.#decode(line)
    if (record === undefined) return
    const pending = { line, record }
    this.counts.inFlight += 1
    this.#bytesInFlight += line.bytes.length
    const key = Buffer.from(record.key.buffer, record.key.byteOffset, record.key.length).toString('latin1')
    const waiting = this.#busy.get(key)
    if (waiting === undefined) void this.#sendInOrder(key, pending)
    else waiting.push(pending)
  }

  /** The record of a line; undefined where there is none and the line is settled, or the import has failed. */
  #decode(line: Line): JsonlRecord | undefined {
    try {
      if (line.tooLong) throw new BadLineError(`is longer than ${limits.lineBytesMax} bytes`)
      const record = decodeLine(line.bytes, line.number === 1)
      if (record === undefined) this.#watermark.settle(line.number, line.end)
      return record
    } catch (error) {
      if (!(error instanceof BadLineError)) throw error
      this.#refuse(line, error.message)
      return undefined
    }
  }

  #refuse(line: Line, reason: string): void {
    const error = new BadInputError(line.number, reason)
    if (!this.#options.skipBad) {
      this.#fail(error)
      return
    }
    this.counts.bad += 1
    this.#options.onBadLine?.(error)
    this.#watermark.settle(line.number, line.end)
  }

  /** Sends a record, and then those of the same key that came meanwhile. Never rejects: a failure is `run`'s. */
  async #sendInOrder(key: string, first: Pending): Promise<void> {
    const waiting: Pending[] = []
    this.#busy.set(key, waiting)
    for (let pending: Pending | undefined = first; pending !== undefined; pending = waiting.shift()) {
      try {
        if (!this.stopped.aborted) await this.#send(pending)
      } catch (error) {
        this.#fail(error as Error)
      }
      this.counts.inFlight -= 1
      this.#bytesInFlight -= pending.line.bytes.length
      this.#wake?.()
    }
    this.#busy.delete(key)
  }

  async #send({ line, record }: Pending): Promise<void> {
    const { client, timing, consistency, recordTimeoutMs, giveUpAfterMs } = this.#options
    const startedMs = timing.monotonic()
    const retry = new RetryCount(this.counts)
    try {
      for (;;) {
        const waitedMs = timing.monotonic() - startedMs
        const timeoutMs = Math.max(1, Math.ceil(Math.min(recordTimeoutMs, giveUpAfterMs - waitedMs)))
        const ttlMs = record.expiresAtMs === undefined ? undefined : record.expiresAtMs - timing.wall()
        if (ttlMs !== undefined && ttlMs < 1) return this.#settleExpired(line)
        try {
          await client.put(record.key, record.value, { timeoutMs, ttlMs, consistency })
          return this.#settleAcknowledged(line, record)
        } catch (error) {
          if (!(error instanceof KvError)) throw error
          if (error.code === 'invalid-argument') return this.#refuse(line, `was refused: ${error.message}`)
          const triedMs = timing.monotonic() - startedMs
          if (!error.retryable || triedMs >= giveUpAfterMs) throw new PutFailedError(line.number, error, triedMs)
        }
        await timing.sleep(retry.pauseMs(timing), this.stopped)
        if (this.stopped.aborted) return
        retry.begin()
      }
    } finally {
      retry.end()
    }
  }

  #settleExpired(line: Line): void {
    this.counts.expired += 1
    this.#watermark.settle(line.number, line.end)
  }

  #settleAcknowledged(line: Line, record: JsonlRecord): void {
    this.counts.acknowledged += 1
    this.counts.acknowledgedBytes += line.bytes.length + 1
    this.#options.onAcknowledged?.(record)
    this.#watermark.settle(line.number, line.end)
  }
}

/** Keeps the books of one record's attempts. */
class RetryCount {
  readonly #counts: ImportCounts
  #retries = 0
  #retrying = false

  constructor(counts: ImportCounts) {
    this.#counts = counts
  }

  /** How long to wait before the next attempt: exponential backoff with full jitter. */
  pauseMs(timing: Timing): number {
    if (!this.#retrying) this.#counts.retrying += 1
    this.#retrying = true
    const ceilingMs = Math.min(limits.retryPauseMsMax, limits.retryPauseMs * 2 ** this.#retries)
    return timing.random() * ceilingMs
  }

  begin(): void {
    this.#retries += 1
    this.#counts.retries += 1
  }

  end(): void {
    if (this.#retrying) this.#counts.retrying -= 1
  }
}
