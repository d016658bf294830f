import { limits } from '@quorumkv/internal/base'
import type { Log } from '@quorumkv/internal/env'

/**
 * Tells of links that do not come about because one side does not trust the other. Nodes call each other again every second:
 * what is said is said when it changes, and of strangers, who may be many, not more often than `limits.distrustReportMs`.
 */
export class Distrust {
  readonly #log: Log
  /** By address: what was said last. */
  readonly #refused = new Map<string, string>()
  #turnedAway = 0
  #reportedMs = Number.NEGATIVE_INFINITY

  constructor(log: Log) {
    this.#log = log
  }

  /** A link to `address` could not be opened. */
  refuses(address: string, problem: string): void {
    if (this.#refused.get(address) === problem) return
    this.#refused.delete(address)
    this.#refused.set(address, problem)
    if (this.#refused.size > limits.distrustedMax) {
      for (const [oldest] of this.#refused) {
        this.#refused.delete(oldest)
        break
      }
    }
    this.#log.warn('no link to another node: one of the two is not trusted', { address, problem })
  }

  /** A link to `address` has been opened. */
  trusts(address: string): void {
    if (this.#refused.delete(address))
      this.#log.info('a link to another node that was not trusted is there', { address })
  }

  /** Somebody who wanted to open a link here was refused. */
  turnsAway(remote: string, problem: string): void {
    this.#turnedAway++
    const nowMs = performance.now()
    if (nowMs - this.#reportedMs < limits.distrustReportMs) return
    this.#reportedMs = nowMs
    this.#log.warn('a link from another node was refused', { remote, problem, refused: this.#turnedAway })
  }
}
