import type { Arena } from './table/arena.js'
import { chunkAt, indexBytes, isFree, type SlotIndex, wordAt } from './table/table-index.js'
import { buryRecord, moveOverheadBytes } from './table/table-moves.js'

/**
 * Indexes of slots that were emptied, and whose records still lie in the arena as if they were alive. They are buried in
 * small steps; until the last one is, compaction must not run, because it would look for their cells.
 */
export class EmptiedSlots {
  /** The first one's cells before `#cell` are done. */
  readonly #indexes: SlotIndex[] = []
  #cell = 0
  #bytes = 0

  /** Memory that the indexes hold, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  get done(): boolean {
    return this.#indexes.length === 0
  }

  add(index: SlotIndex): void {
    this.#indexes.push(index)
    this.#bytes += indexBytes(index)
  }

  /** Buries records until about `budgetBytes` of work are done; returns what is left of the budget. */
  bury(arena: Arena, budgetBytes: number): number {
    let left = budgetBytes
    for (let index = this.#indexes[0]; index !== undefined; index = this.#indexes[0]) {
      for (const cells = index.length >>> 1; this.#cell < cells; this.#cell++) {
        if (left <= 0) return left
        left -= moveOverheadBytes
        if (!isFree(index, this.#cell)) buryRecord(arena, chunkAt(index, this.#cell), wordAt(index, this.#cell))
      }
      this.#indexes.shift()
      this.#cell = 0
      this.#bytes -= indexBytes(index)
    }
    return left
  }
}
