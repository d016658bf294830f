/** 4 KiB: what a small append costs at most when its page has to be copied first. */
const pageBytes = 4096

/**
 * The contents of a file, in pages that several images may share: nobody writes into a shared page, but into a copy of
 * its own. A page that was never written takes no memory and reads as zeros.
 */
export class PagedBytes {
  #pages: (Uint8Array | undefined)[] = []
  /** Pages changed since the last `shareInto`; only these may be written in place. */
  readonly #changed = new Set<number>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Copies up to `into.length` bytes from `position`; returns how many, 0 at the end. */
  read(into: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(into.length, this.#size - position))
    for (let done = 0; done < length; ) {
      const offset = (position + done) % pageBytes
      const part = Math.min(pageBytes - offset, length - done)
      const page = this.#pages[(position + done - offset) / pageBytes]
      if (page === undefined) into.fill(0, done, done + part)
      else into.set(page.subarray(offset, offset + part), done)
      done += part
    }
    return length
  }

  /** Writes at `position`, growing where needed. */
  write(from: Uint8Array, position: number): void {
    for (let done = 0; done < from.length; ) {
      const offset = (position + done) % pageBytes
      const part = Math.min(pageBytes - offset, from.length - done)
      const page = this.#ownPage((position + done - offset) / pageBytes)
      page.set(from.subarray(done, done + part), offset)
      done += part
    }
    if (from.length > 0) this.#size = Math.max(this.#size, position + from.length)
  }

  /** Cuts or extends with zeros. */
  resize(size: number): void {
    if (size < this.#size) {
      const keep = Math.ceil(size / pageBytes)
      for (let i = keep; i < this.#pages.length; i++) if (this.#pages[i] !== undefined) this.#changed.add(i)
      this.#pages.length = Math.min(this.#pages.length, keep)
      // What lies behind the end must be zeros, should the file grow again.
      const offset = size % pageBytes
      if (offset > 0 && this.#pages[keep - 1] !== undefined) this.#ownPage(keep - 1).fill(0, offset)
    }
    this.#size = size
  }

  /** Makes `other` equal to this, by sharing the pages that changed since the last time. */
  shareInto(other: PagedBytes): void {
    other.resize(this.#size)
    for (const index of this.#changed) {
      other.#pages[index] = this.#pages[index]
      other.#changed.delete(index)
    }
    this.#changed.clear()
  }

  /** Forgets which pages changed, as a kernel does whose write-back failed: the next `shareInto` leaves them out. */
  forgetChanges(): void {
    this.#changed.clear()
  }

  /** An image of its own with the same contents. */
  fork(): PagedBytes {
    const copy = new PagedBytes()
    copy.#pages = this.#pages.slice()
    copy.#size = this.#size
    this.#changed.clear()
    return copy
  }

  /** Turns over the bits of `mask` in one byte, behind everybody's back. */
  flip(position: number, mask: number): void {
    const index = Math.floor(position / pageBytes)
    const page = this.#pages[index]?.slice() ?? new Uint8Array(pageBytes)
    page[position % pageBytes]! ^= mask
    this.#pages[index] = page
  }

  #ownPage(index: number): Uint8Array {
    const page = this.#pages[index]
    if (page !== undefined && this.#changed.has(index)) return page
    const own = page?.slice() ?? new Uint8Array(pageBytes)
    this.#pages[index] = own
    this.#changed.add(index)
    return own
  }
}
