/**
 * A hybrid logical clock reading (Kulkarni et al., "Logical Physical Clocks", 2014): 48 bits of Unix milliseconds and
 * a 16-bit counter, kept as the two unsigned 32-bit halves of the 64-bit number, so that hot paths need no BigInt.
 */
export interface Hlc {
  /** The upper 32 bits: milliseconds / 65536. */
  readonly hi: number
  /** The lower 32 bits: milliseconds % 65536 and the counter. */
  readonly lo: number
}

/** What orders the writes of a key: the stamp, then the number of the node that stamped. */
export interface Version extends Hlc {
  readonly node: number
}

/** Below every version that a node can stamp; stands for "absent". */
export const zeroVersion: Version = Object.freeze({ hi: 0, lo: 0, node: 0 })

export function compareHlc(a: Hlc, b: Hlc): number {
  return a.hi - b.hi || a.lo - b.lo
}

export function compareVersions(a: Version, b: Version): number {
  return a.hi - b.hi || a.lo - b.lo || a.node - b.node
}

/** The Unix milliseconds of a reading. */
export function hlcMs(hlc: Hlc): number {
  return hlc.hi * 65_536 + (hlc.lo >>> 16)
}

export function hlcCounter(hlc: Hlc): number {
  return hlc.lo & 0xffff
}

/** `ms` must be a whole number below 2^48, `counter` below 2^16. */
export function hlcOf(ms: number, counter: number): Hlc {
  return { hi: Math.floor(ms / 65_536), lo: (ms % 65_536) * 65_536 + counter }
}

/** For message fields of type fixed64 outside hot paths. */
export function hlcToBigint(hlc: Hlc): bigint {
  return (BigInt(hlc.hi) << 32n) | BigInt(hlc.lo)
}

export function hlcFromBigint(value: bigint): Hlc {
  return { hi: Number((value >> 32n) & 0xffffffffn), lo: Number(value & 0xffffffffn) }
}
