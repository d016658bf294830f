const sizeMin = 64
const idMax = 0x7fffffff

/** How many requests wait for replies, over several `Pending`. */
export class PendingCount {
  total = 0
}

/**
 * Requests that wait for replies on one link, by id: a ring in which id n has place n modulo its size.
 *
 * Not a Map: V8 rebuilds one whose entries come and go over and over, and what went through a discarded table survives
 * until the next full collection; at some hundred thousand requests a second that is most of the collector's work.
 * Waiters and positions lie in arrays of their own, so that a request costs no object.
 */
export class Pending<Waiter> {
  #waiters: (Waiter | undefined)[] = emptyPlaces(sizeMin)
  #ids = new Uint32Array(sizeMin)
  #positions = new Uint32Array(sizeMin)
  #size = 0
  readonly #count: PendingCount
  #nextId = 1
  /** The position of the waiter that `take` gave last. */
  takenPosition = 0

  constructor(count: PendingCount = new PendingCount()) {
    this.#count = count
  }

  get size(): number {
    return this.#size
  }

  /** Returns the id of the request: unique among those that wait. `position` is a whole number below 2^32: a scan numbers its write-backs. */
  add(waiter: Waiter, position: number): number {
    if (this.#size * 2 >= this.#waiters.length) this.#grow()
    let id = this.#nextId
    while (this.#waiters[this.#placeOf(id)] !== undefined) id = successor(id)
    const place = this.#placeOf(id)
    this.#waiters[place] = waiter
    this.#ids[place] = id
    this.#positions[place] = position
    this.#size++
    this.#count.total++
    this.#nextId = successor(id)
    return id
  }

  /** Undefined: nobody waits for this id. */
  take(id: number): Waiter | undefined {
    const place = this.#placeOf(id)
    const waiter = this.#waiters[place]
    if (waiter === undefined || this.#ids[place] !== id) return undefined
    this.#waiters[place] = undefined
    this.#size--
    this.#count.total--
    this.takenPosition = this.#positions[place]!
    return waiter
  }

  /** Takes all, calling `end` for each; those that `end` adds wait on. */
  takeAll(end: (waiter: Waiter, position: number) => void): void {
    if (this.#size === 0 && this.#waiters.length === sizeMin) return
    const [waiters, positions] = [this.#waiters, this.#positions]
    this.#waiters = emptyPlaces(sizeMin)
    this.#ids = new Uint32Array(sizeMin)
    this.#positions = new Uint32Array(sizeMin)
    this.#count.total -= this.#size
    this.#size = 0
    for (const [place, waiter] of waiters.entries()) if (waiter !== undefined) end(waiter, positions[place]!)
  }

  #placeOf(id: number): number {
    return id & (this.#waiters.length - 1)
  }

  /** Two ids that differ modulo the old size differ modulo its double. */
  #grow(): void {
    const [waiters, ids, positions] = [this.#waiters, this.#ids, this.#positions]
    this.#waiters = emptyPlaces(waiters.length * 2)
    this.#ids = new Uint32Array(waiters.length * 2)
    this.#positions = new Uint32Array(waiters.length * 2)
    for (const [old, waiter] of waiters.entries()) {
      if (waiter === undefined) continue
      const place = this.#placeOf(ids[old]!)
      this.#waiters[place] = waiter
      this.#ids[place] = ids[old]!
      this.#positions[place] = positions[old]!
    }
  }
}

function successor(id: number): number {
  return id >= idMax ? 1 : id + 1
}

function emptyPlaces<Waiter>(length: number): (Waiter | undefined)[] {
  return new Array<Waiter | undefined>(length).fill(undefined)
}
