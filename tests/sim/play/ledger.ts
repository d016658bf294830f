import { compareVersions, type Version } from '@quorumkv/internal/hlc'
import { checkRegister } from '../check/linearizability.js'
import { History } from './history.js'

/** What the clients of one run were told, and what was found wrong with it. */
export class Ledger {
  readonly history: History = new History()
  readonly violations: string[] = []
  readonly #highest = new Map<string, Version>()
  readonly #stamps = new Map<string, string>()
  readonly #expiries = new Map<string, number>()
  readonly #nowMs: () => number
  /** How far wall clocks may have been from the true time at most. */
  readonly #clockErrorMs: number

  constructor(nowMs: () => number, clockErrorMs: number) {
    this.#nowMs = nowMs
    this.#clockErrorMs = clockErrorMs
  }

  violation(what: string): void {
    this.violations.push(`at ${this.#nowMs().toFixed(3)} ms: ${what}`)
  }

  /** A write was acknowledged under this version. No version is given twice. */
  acknowledged(key: string, { hi, lo, node }: Version): void {
    const stamp = `${hi}.${lo}.${node}`
    const other = this.#stamps.get(stamp)
    if (other !== undefined) this.violation(`${key} and ${other} were acknowledged under one version, ${stamp}`)
    this.#stamps.set(stamp, key)
    const highest = this.#highest.get(key)
    const version = { hi, lo, node }
    if (highest === undefined || compareVersions(version, highest) > 0) this.#highest.set(key, version)
  }

  get acknowledgements(): number {
    return this.#stamps.size
  }

  /** The highest acknowledged version of each key. */
  get highest(): ReadonlyMap<string, Version> {
    return this.#highest
  }

  /** The value is due at this true time at the latest, were all clocks right. */
  expires(value: string, dueMs: number): void {
    this.#expiries.set(value, dueMs)
  }

  /** A read that was called at `calledMs` found this value under a key whose entries expire. */
  shown(key: string, value: string, calledMs: number): void {
    const dueMs = this.#expiries.get(value)
    if (dueMs === undefined) this.violation(`${key}: nobody wrote ${value}`)
    else if (calledMs > dueMs + 2 * this.#clockErrorMs) {
      this.violation(`${key}: ${value} was still shown ${(calledMs - dueMs).toFixed(0)} ms after it expired`)
    }
  }

  /** Checks the history of every key. Returns the operations checked. */
  checkHistories(): number {
    let checked = 0
    for (const key of this.history.keys()) {
      const operations = this.history.operations(key)
      const verdict = checkRegister(operations)
      checked += operations.length
      if (verdict.kind === 'violation') {
        const stuck = verdict.operations.map(
          ({ kind, value, called, returned }) => `${kind} ${value} [${called}, ${returned}]`,
        )
        this.violation(`${key} is not linearizable; no order for: ${stuck.join('; ')}`)
      } else if (verdict.kind === 'undecided') this.violation(`${key}: no verdict after ${verdict.steps} steps`)
    }
    return checked
  }
}
