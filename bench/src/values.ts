import { crc32 } from 'node:zlib'
import { SimRandom } from '@quorumkv/internal/env-sim'

/*
 * What a value holds, so that a read can tell whether it is the one that belongs there:
 *
 *     | key, 16 B | number of the write, 4 B | filler | CRC-32 of all before, 4 B |
 *
 * The checksum is zlib's: the store's own would hide its own faults.
 */
const keyBytes = 16
const checksumBytes = 4

/** Smaller values have no room for what is checked. */
export const valueBytesMin: number = keyBytes + 4 + checksumBytes

/** More keys would not fit the ten digits that they are named by. */
export const keysMax = 10_000_000_000

/** Every key starts with this, so that they can be told from others' in a cluster that is used for something. */
export const keyPrefix = 'bench:'

/** The name of a key, 16 bytes. */
export function keyName(key: number): string {
  return `${keyPrefix}${String(key).padStart(10, '0')}`
}

/** A read gave something that was never written under this key. */
export class WrongValueError extends Error {
  override readonly name = 'WrongValueError'
  readonly code = 'wrong-value'
}

/** Makes the values that are written, and checks those that are read. */
export class Values {
  readonly #pattern: Buffer
  #writes = 0

  /** @param valueBytes - the size of each value, at least `valueBytesMin` */
  constructor(valueBytes: number, seed: string) {
    this.#pattern = Buffer.from(new SimRandom(seed).bytes(valueBytes))
  }

  /** A fresh value for a key; the caller may keep it. */
  make(key: string): Buffer {
    const value = Buffer.from(this.#pattern)
    value.write(key, 'latin1')
    value.writeUInt32LE(this.#writes++ >>> 0, keyBytes)
    const end = value.length - checksumBytes
    value.writeUInt32LE(crc32(value.subarray(0, end)), end)
    return value
  }

  /** Throws WrongValueError unless `value` was made for this key and is whole. */
  check(key: string, value: Uint8Array | undefined): void {
    if (value === undefined) throw new WrongValueError(`${key} is missing`)
    if (value.length !== this.#pattern.length) {
      throw new WrongValueError(`${key} has a value of ${value.length} B, not ${this.#pattern.length} B`)
    }
    const view = Buffer.from(value.buffer, value.byteOffset, value.length)
    const end = view.length - checksumBytes
    if (view.readUInt32LE(end) !== crc32(view.subarray(0, end))) {
      throw new WrongValueError(`${key} has a value whose checksum is wrong`)
    }
    const owner = view.toString('latin1', 0, keyBytes)
    if (owner !== key) throw new WrongValueError(`${key} has the value of ${JSON.stringify(owner)}`)
  }
}
