/**
 * What is known about the writes of each key, so that a read can be judged: it must give a write that was made, and none
 * that was superseded before the read began. Writes of a key overlap, and which of two overlapping ones wins is the
 * store's choice. So a write only counts as superseded when another one *began* after it had ended, and was
 * acknowledged before the read began.
 *
 * Writes of a key are numbered from 1. For each key there are two generations of writes under way: those up to
 * `#boundary`, and those since. When the last of the older generation has ended, the younger one becomes the older. The
 * first number of the older generation is so never above the lowest one under way, and lags behind it by a generation at
 * most: a cautious answer, at the price of two counters and no list.
 *
 * A write that failed with an unknown outcome may take effect at any time: it stays under way for good, and the key's
 * reads are from then on only judged against what had been settled before.
 */
export class WriteLedger {
  #issued: Uint32Array
  /** The lowest write that a read beginning now may return; 0: nothing was acknowledged yet. */
  #floor: Uint32Array
  /** Every write below this one has ended. */
  #oldest: Uint32Array
  /** The first write of the younger generation. */
  #boundary: Uint32Array
  #olderUnderWay: Uint16Array
  #youngerUnderWay: Uint16Array

  /** @param keys - how many there are; more can be written, and then make it grow */
  constructor(keys: number) {
    this.#issued = new Uint32Array(keys)
    this.#floor = new Uint32Array(keys)
    this.#oldest = new Uint32Array(keys)
    this.#boundary = new Uint32Array(keys)
    this.#olderUnderWay = new Uint16Array(keys)
    this.#youngerUnderWay = new Uint16Array(keys)
  }

  /** A write of this key begins; its number. */
  begin(key: number): number {
    if (key >= this.#issued.length) this.#grow(key + 1)
    const write = this.#issued[key]! + 1
    this.#issued[key] = write
    if (this.#olderUnderWay[key] === 0) {
      this.#oldest[key] = write
      this.#boundary[key] = write + 1
      this.#olderUnderWay[key] = 1
    } else {
      this.#youngerUnderWay[key]!++
    }
    return write
  }

  /** What the end of a write that begins now will supersede: everything below. Call it after `begin`. */
  settledBelow(key: number): number {
    return this.#oldest[key]!
  }

  /** A write was acknowledged; `settled` is what `settledBelow` said when it began. */
  acknowledged(key: number, write: number, settled: number): void {
    if (settled > this.#floor[key]!) this.#floor[key] = settled
    this.#end(key, write)
  }

  /** A write failed, and has certainly not been applied. */
  withdrawn(key: number, write: number): void {
    this.#end(key, write)
  }

  /** The lowest write that a read beginning now may return; 0: there may be none, or one of another run. */
  floor(key: number): number {
    return key < this.#floor.length ? this.#floor[key]! : 0
  }

  /** The last write that was begun. */
  issued(key: number): number {
    return key < this.#issued.length ? this.#issued[key]! : 0
  }

  #end(key: number, write: number): void {
    if (write >= this.#boundary[key]!) {
      this.#youngerUnderWay[key]!--
      return
    }
    const older = this.#olderUnderWay[key]! - 1
    this.#olderUnderWay[key] = older
    if (older > 0) return
    this.#oldest[key] = this.#boundary[key]!
    this.#boundary[key] = this.#issued[key]! + 1
    this.#olderUnderWay[key] = this.#youngerUnderWay[key]!
    this.#youngerUnderWay[key] = 0
  }

  #grow(keys: number): void {
    const length = Math.max(keys, Math.ceil(this.#issued.length * 1.5))
    this.#issued = grown(this.#issued, new Uint32Array(length))
    this.#floor = grown(this.#floor, new Uint32Array(length))
    this.#oldest = grown(this.#oldest, new Uint32Array(length))
    this.#boundary = grown(this.#boundary, new Uint32Array(length))
    this.#olderUnderWay = grown(this.#olderUnderWay, new Uint16Array(length))
    this.#youngerUnderWay = grown(this.#youngerUnderWay, new Uint16Array(length))
  }
}

function grown<A extends Uint16Array | Uint32Array>(from: A, to: A): A {
  to.set(from)
  return to
}
