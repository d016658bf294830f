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
