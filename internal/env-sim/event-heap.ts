import { assert } from '../base/index.js'
import type { EventKind, EventOwner } from './scheduler.js'

/** Something that will happen. Made by the scheduler only. */
export interface SimEvent {
  timeMs: number
  sequence: number
  readonly kind: EventKind
  readonly owner: EventOwner
  /** A size or count that belongs to the event, for the hash. */
  readonly detail: number
  readonly fire: () => void
  /** Where it is in the heap; -1 when it is not there. */
  heapIndex: number
  cancelled: boolean
}

function before(a: SimEvent, b: SimEvent): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.sequence < b.sequence)
}

/** A binary heap ordered by (time, sequence). Events know their place, so that a cancelled timer leaves no litter. */
export class EventHeap {
  readonly #items: SimEvent[] = []

  get size(): number {
    return this.#items.length
  }

  peek(): SimEvent | undefined {
    return this.#items[0]
  }

  push(event: SimEvent): void {
    assert(event.heapIndex === -1, 'an event is in the heap once')
    this.#items.push(event)
    this.#up(event, this.#items.length - 1)
  }

  remove(event: SimEvent): void {
    const index = event.heapIndex
    assert(this.#items[index] === event, 'the event is not in this heap')
    const last = this.#items.pop()!
    event.heapIndex = -1
    if (last === event) return
    const parent = this.#items[(index - 1) >> 1]
    if (index > 0 && before(last, parent!)) this.#up(last, index)
    else this.#down(last, index)
  }

  #up(event: SimEvent, start: number): void {
    const items = this.#items
    let index = start
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = items[parentIndex]!
      if (!before(event, parent)) break
      items[index] = parent
      parent.heapIndex = index
      index = parentIndex
    }
    items[index] = event
    event.heapIndex = index
  }

  #down(event: SimEvent, start: number): void {
    const items = this.#items
    let index = start
    for (;;) {
      let childIndex = 2 * index + 1
      if (childIndex >= items.length) break
      if (childIndex + 1 < items.length && before(items[childIndex + 1]!, items[childIndex]!)) childIndex++
      const child = items[childIndex]!
      if (!before(child, event)) break
      items[index] = child
      child.heapIndex = index
      index = childIndex
    }
    items[index] = event
    event.heapIndex = index
  }
}
