import type { RegisterOperation } from '../check/linearizability.js'

/** One call of a client, open until it returns. */
export interface Call {
  /** It came back: with what a read found; a write brings nothing. */
  returned(value?: string): void
  /** It failed: certainly without effect, or nobody knows. A read that failed says nothing. */
  failed(outcome: 'not-applied' | 'unknown'): void
}

interface Entry {
  readonly kind: 'read' | 'write'
  readonly called: number
  value: string | undefined
  returned: number
  state: 'open' | 'returned' | 'unknown' | 'void'
}

const never = Number.POSITIVE_INFINITY

/**
 * What clients called and what they were told, per key, in the one order in which all of it happened: in the events of a
 * simulation, or in those of the one process that all clients are in.
 */
export class History {
  readonly #keys = new Map<string, Entry[]>()
  #events = 0
  #calls = 0

  get calls(): number {
    return this.#calls
  }

  /** How many calls returned. */
  get returned(): number {
    let count = 0
    for (const entries of this.#keys.values()) for (const { state } of entries) if (state === 'returned') count++
    return count
  }

  /** Whether anybody has ever asked to write this value there. */
  hasWritten(key: string, value: string): boolean {
    return this.#keys.get(key)?.some((entry) => entry.kind === 'write' && entry.value === value) === true
  }

  keys(): string[] {
    return [...this.#keys.keys()]
  }

  /** `value` is what a write wants to be there; undefined for a delete. */
  call(key: string, kind: 'read' | 'write', value?: string): Call {
    const entry: Entry = { kind, value, called: this.#events++, returned: never, state: 'open' }
    const entries = this.#keys.get(key) ?? []
    this.#keys.set(key, entries)
    entries.push(entry)
    this.#calls++
    return {
      returned: (found) => {
        if (entry.state !== 'open') return
        entry.returned = this.#events++
        entry.state = 'returned'
        if (kind === 'read') entry.value = found
      },
      failed: (outcome) => {
        if (entry.state === 'open') entry.state = kind === 'write' && outcome === 'unknown' ? 'unknown' : 'void'
      },
    }
  }

  /**
   * The operations on a key as a checker wants them. A write whose fate is unknown and whose value nobody has read is
   * left out: it can explain nothing that would not be right without it, and each of them would double the search.
   */
  operations(key: string): RegisterOperation[] {
    const entries = this.#keys.get(key) ?? []
    const read = new Set<string | undefined>()
    for (const { kind, value, state } of entries) if (kind === 'read' && state === 'returned') read.add(value)
    return entries
      .filter(({ kind, value, state }) => {
        if (state === 'returned') return true
        return kind === 'write' && state !== 'void' && read.has(value)
      })
      .map(({ kind, value, called, returned }) => ({ kind, value, called, returned }))
  }
}
