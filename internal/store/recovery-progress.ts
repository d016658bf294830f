import { limits } from '../base/index.js'
import type { StoreOptions } from './store.js'

/** Where the records come from that are just being read. */
export type RecoverySource = 'snapshot' | 'log'

/** Says once in a while how far recovery has come, and when it will be done if it goes on at the same speed. */
export class RecoveryProgress {
  readonly #options: StoreOptions
  readonly #startedMs: number
  #nextMs: number
  #doneBytes = 0
  #totalBytes = 0

  constructor(options: StoreOptions) {
    this.#options = options
    this.#startedMs = options.clock.monotonicMs()
    this.#nextMs = this.#startedMs + limits.recoveryReportMs
  }

  /** So many bytes are left to read from here on, about. */
  expect(bytes: number): void {
    this.#totalBytes = this.#doneBytes + bytes
  }

  /** Read so many bytes more; `sequence` and `records` say how far that is. */
  advance(bytes: number, from: RecoverySource, sequence: number, records: number): void {
    this.#doneBytes += bytes
    const nowMs = this.#options.clock.monotonicMs()
    if (nowMs < this.#nextMs) return
    this.#nextMs = nowMs + limits.recoveryReportMs
    const done = this.#doneBytes
    // The log's files are larger than what is in them, so the whole may turn out to be less.
    const total = Math.max(done, this.#totalBytes)
    const remainingMs = Math.round(((nowMs - this.#startedMs) * (total - done)) / Math.max(1, done))
    const percent = Math.floor((100 * done) / Math.max(1, total))
    this.#options.log.info('recovering', {
      from,
      sequence,
      records,
      readBytes: done,
      ofBytes: total,
      percent,
      remainingMs,
    })
  }
}
