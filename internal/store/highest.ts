import type { Version } from '../hlc/index.js'

/** The highest of the versions that it has been shown. Three numbers in place, because every record comes by here. */
export class Highest {
  #hi = 0
  #lo = 0
  #node = 0

  raise(version: Version): void {
    const above = version.hi - this.#hi || version.lo - this.#lo || version.node - this.#node
    if (above <= 0) return
    this.#hi = version.hi
    this.#lo = version.lo
    this.#node = version.node
  }

  get version(): Version {
    return { hi: this.#hi, lo: this.#lo, node: this.#node }
  }
}
