import { limits } from '@quorumkv/internal/base'

/** What all sessions of a node together hold for clients that have not read it yet. */
export class ResultBudget {
  #heldBytes = 0

  get heldBytes(): number {
    return this.#heldBytes
  }

  fits(bytes: number): boolean {
    return this.#heldBytes + bytes <= limits.resultBytesMax
  }

  hold(bytes: number): void {
    this.#heldBytes += bytes
  }

  release(bytes: number): void {
    this.#heldBytes -= bytes
  }
}

/** What one session holds of that: from when a result is there until the connection has taken it, or the call is over. */
export class HeldResults {
  readonly #budget: ResultBudget
  #bytes = 0
  #taken = 0
  #over = false

  constructor(budget: ResultBudget) {
    this.#budget = budget
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Bytes that were taken so far. */
  get taken(): number {
    return this.#taken
  }

  /** Whether there is memory for so many more. */
  fits(bytes: number): boolean {
    return this.#bytes + bytes <= limits.sessionResultBytesMax && this.#budget.fits(bytes)
  }

  hold(bytes: number): void {
    this.#bytes += bytes
    this.#budget.hold(bytes)
  }

  /** So many were never sent. */
  drop(bytes: number): void {
    if (this.#over) return
    this.#bytes -= bytes
    this.#budget.release(bytes)
  }

  /** The connection has taken so many. */
  take(bytes: number): void {
    this.#taken += bytes
    this.drop(bytes)
  }

  /** The call is over, and gives back what it still holds. Idempotent. */
  release(): void {
    this.drop(this.#bytes)
    this.#over = true
  }
}
