import { addressGroup, addressOfPeer } from './connection-gate.js'

export interface PlaceLimits {
  /** All of them. */
  readonly max: number
  /** Those from one address. */
  readonly perAddressMax: number
}

/** Of one caller. */
interface Place {
  readonly leave: (why: string) => void
}

/**
 * Places for callers, in bounded numbers. None is refused for those that came before: the one that has had its place for longest
 * leaves instead, of the same address where that has its share, else of the address that has most. Of links between nodes: a node proves itself
 * in the time that an answer takes to it and back, so it is among the youngest; strangers would have to come faster than
 * that, and from its own address, or from more addresses than there are places.
 */
export class AddressPlaces {
  readonly #limits: PlaceLimits
  /** By group of addresses: the places, the oldest first. No set is empty. */
  readonly #groups = new Map<string, Set<Place>>()
  #size = 0

  constructor(limits: PlaceLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#size
  }

  /**
   * Gives a place to who calls from `peer`, `address:port`. `evicted` is called, within a later call of this, where it is taken
   * away. The function that is returned gives it back; it returns false where it was given back or taken away before.
   */
  enter(peer: string, evicted: (why: string) => void): () => boolean {
    const group = addressGroup(addressOfPeer(peer))
    const { max, perAddressMax } = this.#limits
    const same = this.#groups.get(group)
    if (same !== undefined && same.size >= perAddressMax) {
      this.#evict(group, `${perAddressMax} others of its address have come after it`)
    } else if (this.#size >= max) {
      this.#evict(this.#largest(), `${max} others have come after it`)
    }
    const place: Place = { leave: evicted }
    const places = this.#groups.get(group) ?? new Set()
    this.#groups.set(group, places.add(place))
    this.#size++
    return () => this.#remove(group, place)
  }

  #evict(group: string, why: string): void {
    const [oldest] = this.#groups.get(group)!
    this.#remove(group, oldest!)
    oldest!.leave(why)
  }

  #largest(): string {
    let largest = ''
    let most = 0
    for (const [group, { size }] of this.#groups) {
      if (size <= most) continue
      largest = group
      most = size
    }
    return largest
  }

  #remove(group: string, place: Place): boolean {
    const places = this.#groups.get(group)
    if (places?.delete(place) !== true) return false
    this.#size--
    if (places.size === 0) this.#groups.delete(group)
    return true
  }
}
