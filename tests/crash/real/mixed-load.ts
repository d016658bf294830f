import type { KvClient } from '@quorumkv/client'
import type { SimRandom } from '@quorumkv/internal/env-sim'
import { expect } from 'vitest'
import { makeClient } from '../../fixtures.js'
import { type Report, seed } from '../report.js'
import { Registers } from './registers.js'

/**
 * Clients of two kinds. Half of them give up early, and their histories have many operations of unknown fate. The other
 * half is as patient as an application: where a majority of the owners of each key can be reached, nothing may fail for
 * them.
 */
export class MixedLoad implements AsyncDisposable {
  readonly #clients: readonly KvClient[]
  readonly #hasty: Registers
  readonly #patient: Registers
  readonly #ending = new AbortController()
  readonly #work: Promise<unknown>

  /** Begins at once; checks what was told so often. */
  constructor(addresses: readonly string[], random: SimRandom, roundMs: number) {
    const clients = Array.from({ length: 4 }, () => makeClient(addresses))
    const common = { lanesPerClient: 4, hotKeys: 4, coldKeys: 40 }
    const patience = { timeoutsMs: [20_000], repeatable: true }
    this.#clients = clients
    this.#hasty = new Registers({ ...common, random: random.fork('hasty'), clients: clients.slice(0, 2) })
    this.#patient = new Registers({
      ...common,
      ...patience,
      random: random.fork('patient'),
      clients: clients.slice(2),
    })
    const { signal } = this.#ending
    this.#work = Promise.all([
      this.#hasty.rounds('hasty', roundMs, signal),
      this.#patient.rounds('patient', roundMs, signal),
    ])
    // What goes wrong is told by `end`.
    this.#work.catch(() => undefined)
  }

  /** Operations that have returned to the patient half. */
  get returned(): number {
    return this.#patient.returned
  }

  /** Lets the last operations end, and checks what was told of them. */
  async end(): Promise<void> {
    this.#ending.abort()
    await this.#work
  }

  /** Reads everything through this client, and fails the test where anything is or was not as it had to be. */
  async judge(client: KvClient, report: Report): Promise<void> {
    for (const registers of [this.#hasty, this.#patient]) {
      await registers.checkKept([client])
      report.count('operations returned', registers.returned)
      report.count('put into order', registers.checked)
      report.count('violations', registers.violations.length)
    }
    for (const [kind, times] of [...this.#hasty.failures].sort()) {
      report.count(`failed as ${kind} for want of patience`, times)
    }
    expect([...this.#hasty.violations, ...this.#patient.violations], `KV_SEED=${seed}`).toEqual([])
    expect([...this.#patient.failures], `KV_SEED=${seed}`).toEqual([])
    expect(this.#patient.acknowledged).toBeGreaterThan(50)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort()
    // So that nobody goes on trying where the test has failed.
    await Promise.all(this.#clients.map((client) => client.close()))
    await Promise.allSettled([this.#work])
  }
}
