import type { KvClient } from '@quorumkv/client'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import { expect } from 'vitest'
import { type Report, seed } from '../report.js'
import { Latencies } from './latencies.js'
import { Registers } from './registers.js'

/** Operations under way at any time. */
const inFlight = 64

/** As long as a call takes that is given no other time. */
const patienceMs = 5_000

/** What the load did in a stretch of time. */
export interface Stretch {
  readonly ms: number
  readonly perSecond: number
  readonly p99Ms: number
}

/**
 * An application at work while its cluster changes: many operations at a time, none more patient than calls are by default,
 * and every key judged as a register. Nothing that it does may fail.
 */
export class SteadyLoad implements AsyncDisposable {
  readonly #registers: Registers
  readonly #latencies = new Latencies()
  readonly #ending = new AbortController()
  readonly #work: Promise<void>

  /** Begins at once; checks what was told so often. */
  constructor(client: KvClient, random: SimRandom, roundMs: number) {
    this.#registers = new Registers({
      random,
      clients: [client],
      lanesPerClient: inFlight,
      hotKeys: 16,
      coldKeys: 200,
      timeoutsMs: [patienceMs],
      restless: true,
      repeatable: true,
      latencies: this.#latencies,
    })
    this.#work = this.#registers.rounds('r', roundMs, this.#ending.signal)
    // What goes wrong is told by `end`.
    this.#work.catch(() => undefined)
  }

  /** Lets `change` happen, and says what the load did meanwhile. */
  async during(change: () => Promise<unknown>): Promise<Stretch> {
    const [from, startedMs] = [this.#latencies.seconds, performance.now()]
    await change()
    const ms = performance.now() - startedMs
    return { ms, ...this.#latencies.span(from, Math.max(from + 1, this.#latencies.seconds)) }
  }

  /** Ends the load, and fails the test where anything was not as it had to be. */
  async end(client: KvClient, report: Report): Promise<void> {
    this.#ending.abort()
    await this.#work
    await this.#registers.checkKept([client])
    const { returned, acknowledged, checked, keys, violations, failures } = this.#registers
    report.count('operations returned', returned)
    report.count('writes acknowledged', acknowledged)
    report.count('put into order', checked)
    report.count('keys', keys)
    report.count(
      'errors',
      [...failures.values()].reduce((sum, times) => sum + times, 0),
    )
    report.count('violations', violations.length)
    expect(violations, `KV_SEED=${seed}`).toEqual([])
    expect([...failures], `KV_SEED=${seed}`).toEqual([])
    expect(acknowledged).toBeGreaterThan(100)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    await Promise.allSettled([this.#work])
  }
}
