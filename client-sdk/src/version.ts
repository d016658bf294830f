import { inspect } from 'node:util'

const pattern = /^[0-9a-f]{24}$/

/**
 * The version of a value: opaque, but comparable. Of two writes of one key the one with the higher version wins, and a
 * write that starts after another was acknowledged has the higher version.
 *
 * The text form has a fixed width, so that versions sort as text, and `a < b` on two versions does what it says.
 * The 64-bit clock reading is kept in two halves: one number would lose its lowest bits.
 */
export class Version {
  /** The upper and lower 32 bits of the hybrid logical clock reading: 48 bits of milliseconds, 16 bits of counter. */
  private readonly hi: number
  private readonly lo: number
  /** The number of the node that stamped the write. */
  private readonly node: number

  /** For the client itself; users get versions from replies or from `Version.parse`. */
  constructor(hi: number, lo: number, node: number) {
    this.hi = hi
    this.lo = lo
    this.node = node
  }

  /** Negative, zero or positive, as `Array.prototype.sort` wants it. */
  static compare(a: Version, b: Version): number {
    return a.hi - b.hi || a.lo - b.lo || a.node - b.node
  }

  /** Reads what `toString` wrote. Returns undefined for anything else. */
  static parse(text: string): Version | undefined {
    if (!pattern.test(text)) return undefined
    const part = (index: number): number => Number.parseInt(text.slice(index * 8, index * 8 + 8), 16)
    return new Version(part(0), part(1), part(2))
  }

  /** 24 hex digits. */
  toString(): string {
    return hex(this.hi) + hex(this.lo) + hex(this.node)
  }

  /** The text form. */
  toJSON(): string {
    return this.toString()
  }

  /** For what shows objects. */
  get [Symbol.toStringTag](): string {
    return 'Version'
  }
}

// What console.log shows. Not a method: declarations that are made file by file cannot hold this name.
Object.defineProperty(Version.prototype, inspect.custom, {
  value(this: Version): string {
    return `Version(${this.toString()})`
  },
})

function hex(value: number): string {
  return value.toString(16).padStart(8, '0')
}
