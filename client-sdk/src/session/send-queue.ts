import type { Operation } from './operation.js'

const compactionMin = 1024

/** Operations in the order in which they came, of which any may leave at any time. Not a Set: see InFlight. */
export class SendQueue {
  private places: (Operation | undefined)[] = []
  private head = 0
  private count = 0

  get size(): number {
    return this.count
  }

  push(operation: Operation): void {
    if (this.places.length >= compactionMin && this.count * 2 < this.places.length) this.compact()
    operation.place = this.places.length
    this.places.push(operation)
    this.count++
  }

  /** The first one, which stays. */
  peek(): Operation | undefined {
    while (this.head < this.places.length) {
      const operation = this.places[this.head]
      if (operation !== undefined) return operation
      this.head++
    }
    return undefined
  }

  /** Takes an operation out; one that is not there is no error. */
  delete(operation: Operation): void {
    if (this.places[operation.place] !== operation) return
    this.places[operation.place] = undefined
    this.count--
    if (this.count > 0) return
    this.places.length = 0
    this.head = 0
  }

  /** All of them, in order, and leaves none. */
  takeAll(): Operation[] {
    const all = this.places.filter((operation) => operation !== undefined)
    this.places = []
    this.head = 0
    this.count = 0
    return all
  }

  private compact(): void {
    const all = this.takeAll()
    for (const operation of all) {
      operation.place = this.places.length
      this.places.push(operation)
    }
    this.count = all.length
  }
}
