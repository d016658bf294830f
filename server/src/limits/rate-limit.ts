import { type KvError, stacklessError } from '@quorumkv/internal/base'
import type { Clock } from '@quorumkv/internal/env'

/** What one principal may do in a second at one node; 0: as much as it wants. */
export interface Rates {
  readonly operationsPerSecond: number
  readonly bytesPerSecond: number
}

export const unlimitedRates: Rates = { operationsPerSecond: 0, bytesPerSecond: 0 }

/**
 * A token bucket that holds one second's worth. It may be overdrawn by one call, whose size is not known beforehand or is
 * more than the bucket holds, and then nothing is let through until that is made up for.
 */
class Bucket {
  /** In thousandths: with whole milliseconds all of it stays whole. */
  readonly #perMs: number
  readonly #most: number
  #tokens: number
  #atMs: number

  constructor(perSecond: number, nowMs: number) {
    this.#perMs = perSecond
    this.#most = perSecond * 1_000
    this.#tokens = this.#most
    this.#atMs = nowMs
  }

  /** How long until there is `needed` in it; 0: there is. */
  waitMs(needed: number, nowMs: number): number {
    // A clock that stands still or goes back adds nothing.
    if (nowMs > this.#atMs) {
      this.#tokens = Math.min(this.#most, this.#tokens + (nowMs - this.#atMs) * this.#perMs)
      this.#atMs = nowMs
    }
    const wanted = Math.min(needed * 1_000, this.#most)
    return this.#tokens >= wanted ? 0 : (wanted - this.#tokens) / this.#perMs
  }

  take(amount: number): void {
    this.#tokens -= amount * 1_000
  }
}

/** How fast one principal may go at one node, in operations and in the bytes of keys and values, either way. */
export class RateLimit {
  readonly #name: string
  readonly #rates: Rates
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #operations: Bucket | undefined
  readonly #bytes: Bucket | undefined
  #refused = 0

  constructor(name: string, rates: Rates, clock: Pick<Clock, 'monotonicMs'>) {
    const nowMs = clock.monotonicMs()
    const bucket = (perSecond: number): Bucket | undefined =>
      perSecond === 0 ? undefined : new Bucket(perSecond, nowMs)
    this.#name = name
    this.#rates = rates
    this.#clock = clock
    this.#operations = bucket(rates.operationsPerSecond)
    this.#bytes = bucket(rates.bytesPerSecond)
  }

  /** How many operations it has refused. */
  get refused(): number {
    return this.#refused
  }

  /** Bytes per second; infinite: as many as it wants. */
  get bytesPerSecond(): number {
    return this.#rates.bytesPerSecond || Number.POSITIVE_INFINITY
  }

  /**
   * Lets one operation through that brings so many bytes, or several that belong together. Throws `overloaded`, and takes nothing, where
   * it is too early for that.
   */
  admit(bytes: number, operations = 1): void {
    const nowMs = this.#clock.monotonicMs()
    const operationsMs = this.#operations?.waitMs(operations, nowMs) ?? 0
    const bytesMs = this.#bytes?.waitMs(Math.max(bytes, 1), nowMs) ?? 0
    if (operationsMs > 0 || bytesMs > 0) {
      this.#refused++
      throw this.#refusal(operationsMs, bytesMs)
    }
    this.#operations?.take(operations)
    this.#bytes?.take(bytes)
  }

  /** Counts the bytes of an answer, which are known only when it is there: who has read too much waits before the next operation. */
  charge(bytes: number): void {
    this.#bytes?.take(bytes)
  }

  #refusal(operationsMs: number, bytesMs: number): KvError {
    const { operationsPerSecond, bytesPerSecond } = this.#rates
    const what = operationsMs > 0 ? `${operationsPerSecond} operations` : `${bytesPerSecond} bytes`
    const retryAfterMs = Math.max(1, Math.ceil(Math.max(operationsMs, bytesMs)))
    const message = `${this.#name} may use ${what} in a second at this node: come again after ${retryAfterMs} ms`
    return stacklessError('overloaded', message, { outcome: 'not-applied', retryAfterMs })
  }
}
