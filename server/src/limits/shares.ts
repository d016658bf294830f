/** Somebody who holds bytes of something that is bounded for all together. */
export interface Holder {
  /** Whom it holds them for: a group of addresses (`addressGroup`). */
  readonly address: string
}

interface Share<T> {
  bytes: number
  /** The one first that has held something for longest. */
  readonly holders: Map<T, number>
}

/**
 * What many hold, by address. Where it is too much for all, the address is to make room that holds most: somebody with much bandwidth, or
 * many connections, pushes out nobody but himself.
 */
export class Shares<T extends Holder> {
  /** None is empty. */
  readonly #shares = new Map<string, Share<T>>()
  #bytes = 0

  /** What all hold. */
  get bytes(): number {
    return this.#bytes
  }

  /** The address that holds most; undefined: nobody holds anything. Of two that hold the same, the one that has done so for longer. */
  get largest(): string | undefined {
    let largest: string | undefined
    let most = 0
    for (const [address, { bytes }] of this.#shares) {
      if (bytes <= most) continue
      largest = address
      most = bytes
    }
    return largest
  }

  /** What an address holds. */
  bytesOf(address: string): number {
    return this.#shares.get(address)?.bytes ?? 0
  }

  /** Who holds something for an address, the one first that has done so for longest. */
  holdersOf(address: string): Iterable<T> {
    return this.#shares.get(address)?.holders.keys() ?? []
  }

  /** It holds so many bytes now. With 0 it loses its place. */
  set(holder: T, bytes: number): void {
    const { address } = holder
    const share = this.#shares.get(address) ?? { bytes: 0, holders: new Map<T, number>() }
    const more = bytes - (share.holders.get(holder) ?? 0)
    if (bytes === 0) share.holders.delete(holder)
    else share.holders.set(holder, bytes)
    share.bytes += more
    this.#bytes += more
    if (share.holders.size === 0) this.#shares.delete(address)
    else this.#shares.set(address, share)
  }
}
