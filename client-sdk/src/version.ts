const pattern = /^[0-9a-f]{24}$/

/**
 * The version of a value: opaque, but comparable. Of two writes of one key the one with the higher version wins, and a
 * write that starts after another was acknowledged has the higher version.
 *
 * The text form has a fixed width, so that versions sort as text, and `a < b` on two versions does what it says.
 * The 64-bit clock reading is kept as a bigint: as a number it would lose its lowest bits.
 */
export class Version {
  /** The hybrid logical clock reading: 48 bits of milliseconds, 16 bits of counter. */
  private readonly hlc: bigint
  /** The number of the node that stamped the write. */
  private readonly node: number

  /** For the client itself; users get versions from replies or from `Version.parse`. */
  constructor(hlc: bigint, node: number) {
    this.hlc = hlc
    this.node = node
  }

  /** Negative, zero or positive, as `Array.prototype.sort` wants it. */
  static compare(a: Version, b: Version): number {
    if (a.hlc !== b.hlc) return a.hlc < b.hlc ? -1 : 1
    return a.node - b.node
  }

  /** Reads what `toString` wrote. Returns undefined for anything else. */
  static parse(text: string): Version | undefined {
    if (!pattern.test(text)) return undefined
    return new Version(BigInt(`0x${text.slice(0, 16)}`), Number.parseInt(text.slice(16), 16))
  }

  /** 24 hex digits. */
  toString(): string {
    return this.hlc.toString(16).padStart(16, '0') + this.node.toString(16).padStart(8, '0')
  }

  toJSON(): string {
    return this.toString()
  }

  get [Symbol.toStringTag](): string {
    return 'Version'
  }
}
