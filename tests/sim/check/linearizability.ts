/** One operation on one key, as its client saw it. Indexes count the events of a history: calls and returns. */
export interface RegisterOperation {
  readonly kind: 'read' | 'write'
  /** What a read returned, or a write wanted to be there (undefined: nothing, a delete). Values are unique per write. */
  readonly value: string | undefined
  /** When it was called. */
  readonly called: number
  /** When it returned; infinity: nobody knows whether, or when, it took or will take effect. */
  readonly returned: number
}

export type RegisterVerdict =
  | { readonly kind: 'linearizable'; readonly steps: number }
  /** `operations` could not be put into any order behind what came before them. */
  | { readonly kind: 'violation'; readonly steps: number; readonly operations: readonly RegisterOperation[] }
  /** There was no answer within the allowed number of steps. */
  | { readonly kind: 'undecided'; readonly steps: number }

/**
 * Says whether the operations on one key look like those on one register that starts empty: whether each can be given
 * one moment between its call and its return, such that every read returns what the last write before it wrote.
 *
 * The search is Wing and Gong's with Lowe's memoisation ("Testing for linearizability", 2017), as in Porcupine, with
 * two additions. A read that fits the register as it is goes first, without alternatives: it changes nothing, so
 * whatever order works with it later works with it now. And a write may take effect several times between its call and
 * its return: a stamp that had to be raised while it ran leaves the first attempt visible to those who look meanwhile.
 * Hence a write of unknown fate is only ever an explanation of what a read saw, never a step of its own: the search
 * grows with the operations that ran at a time, not with those that failed.
 *
 * What that lets through: from a write of unknown fate on, whatever it would have left may be read for ever, and after
 * a delete of unknown fate that is any value that was lost. Whoever sees versions as well can tell: `Ledger.found`.
 */
export function checkRegister(operations: readonly RegisterOperation[], stepsMax = 5_000_000): RegisterVerdict {
  return new Search(operations).run(stepsMax)
}

/** A choice that was made, and what is left to be tried instead of it. */
interface Branch {
  /** Operations that this choice took, in order; the last one is the choice, those before are reads that fitted. */
  readonly taken: number[]
  readonly valueBefore: string | undefined
  readonly alternatives: Move[]
}

/** Takes `index`, after `echo`, a write that is still running, has shown its value without being over. */
interface Move {
  readonly index: number
  readonly value: string | undefined
}

class Search {
  /** Those that returned, in the order of their calls. */
  readonly #operations: readonly RegisterOperation[]
  /** When the first write of unknown fate with this value was called. */
  readonly #unknown = new Map<string | undefined, number>()
  readonly #taken: Uint8Array
  readonly #seen = new Set<string>()
  #value: string | undefined
  /** Everything below has been taken. */
  #low = 0
  /** Nothing from here on has ever been taken. */
  #high = 0
  #unfinished: number
  #steps = 0
  #furthest = 0
  #stuck: readonly RegisterOperation[] = []

  constructor(operations: readonly RegisterOperation[]) {
    const sorted = [...operations].sort((a, b) => a.called - b.called)
    this.#operations = sorted.filter(({ returned }) => returned !== Number.POSITIVE_INFINITY)
    for (const { value, called, returned } of sorted) {
      if (returned === Number.POSITIVE_INFINITY && !this.#unknown.has(value)) this.#unknown.set(value, called)
    }
    this.#taken = new Uint8Array(this.#operations.length)
    this.#unfinished = this.#operations.length
  }

  run(stepsMax: number): RegisterVerdict {
    const total = this.#unfinished
    const branches: Branch[] = []
    let moves = this.#advance(branches)
    while (this.#unfinished > 0) {
      if (++this.#steps > stepsMax) return { kind: 'undecided', steps: this.#steps }
      const move = moves.pop()
      if (move !== undefined) {
        branches.push({ taken: [], valueBefore: this.#value, alternatives: moves })
        this.#take(branches, move.index)
        this.#value = move.value
        moves = this.#advance(branches)
        continue
      }
      this.#noteStuck(total - this.#unfinished)
      const branch = branches.pop()
      if (branch === undefined) return { kind: 'violation', steps: this.#steps, operations: this.#stuck }
      for (const index of branch.taken) this.#untake(index)
      this.#value = branch.valueBefore
      moves = branch.alternatives
    }
    return { kind: 'linearizable', steps: this.#steps }
  }

  /** Takes every read that fits, then lists what may come next; nothing where this place has been searched already. */
  #advance(branches: Branch[]): Move[] {
    let candidates = this.#candidates()
    for (let found = true; found; ) {
      found = false
      for (const index of candidates) {
        const operation = this.#operations[index]!
        if (operation.kind !== 'read' || operation.value !== this.#value) continue
        this.#take(branches, index)
        found = true
      }
      if (found) candidates = this.#candidates()
    }
    const place = this.#place()
    if (this.#seen.has(place)) return []
    this.#seen.add(place)
    return this.#moves(candidates)
  }

  #moves(candidates: readonly number[]): Move[] {
    let firstReturn = Number.POSITIVE_INFINITY
    const running = new Set<string | undefined>()
    for (const index of candidates) {
      const { kind, value, returned } = this.#operations[index]!
      if (kind === 'write') running.add(value)
      if (returned < firstReturn) firstReturn = returned
    }
    const moves: Move[] = []
    for (const index of candidates) {
      const { kind, value } = this.#operations[index]!
      // A read that does not fit now may have seen a write that is still running, or one that nobody knows of.
      const seen = running.has(value) || (this.#unknown.get(value) ?? Number.POSITIVE_INFINITY) < firstReturn
      if (kind === 'write' || seen) moves.push({ index, value })
    }
    // The last is tried first: the operation that returned first is the most likely next.
    return moves.sort((a, b) => this.#operations[b.index]!.returned - this.#operations[a.index]!.returned)
  }

  /** The operations that may come next: called before any that is not taken has returned. */
  #candidates(): number[] {
    const candidates: number[] = []
    let firstReturn = Number.POSITIVE_INFINITY
    for (let index = this.#low; index < this.#operations.length; index++) {
      const { called, returned } = this.#operations[index]!
      if (called > firstReturn) break
      if (this.#taken[index] === 1) continue
      candidates.push(index)
      if (returned < firstReturn) firstReturn = returned
    }
    return candidates.filter((index) => this.#operations[index]!.called < firstReturn)
  }

  /** Tells what has been taken from what has not, and the register: two searches from one place end alike. */
  #place(): string {
    let bits = ''
    for (let index = this.#low; index < this.#high; index++) bits += this.#taken[index] === 1 ? '1' : '0'
    // What has been taken once and given back since must not tell two equal places apart.
    return `${this.#low} ${bits.replace(/0+$/, '')} ${this.#value === undefined ? '' : `=${this.#value}`}`
  }

  #take(branches: readonly Branch[], index: number): void {
    this.#taken[index] = 1
    branches.at(-1)?.taken.push(index)
    this.#unfinished--
    if (index >= this.#high) this.#high = index + 1
    while (this.#taken[this.#low] === 1) this.#low++
  }

  #untake(index: number): void {
    this.#taken[index] = 0
    this.#unfinished++
    if (index < this.#low) this.#low = index
  }

  #noteStuck(finished: number): void {
    if (finished < this.#furthest) return
    this.#furthest = finished
    this.#stuck = this.#candidates().map((index) => this.#operations[index]!)
  }
}
