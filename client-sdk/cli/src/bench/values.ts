import { crc32 } from 'node:zlib'
import { limits } from '../limits.js'
import { LoadRandom } from './random.js'

/*
 * What a value holds, so that a read can tell whether it is one that was written under its key, and which one:
 *
 *     | key's number, 4 B | run, 4 B | number of the key's write, 4 B | filler | CRC-32 of all before, 4 B |
 *
 * All numbers little-endian. The checksum is zlib's: a store's own would hide the store's own faults.
 */
const runAt = 4
const writeAt = 8
const fillerAt = 12
const checksumBytes = 4

/** Smaller values have no room for what is checked. */
export const valueBytesMin: number = fillerAt + checksumBytes

/** Every key starts with this, so that they can be told from others in a cluster that is used for something. */
export const keyPrefix = 'bench:'

/** Bytes of every key's name. */
export const keyBytes = 16

/** The name of a key. */
export function keyName(key: number): string {
  return `${keyPrefix}${String(key).padStart(keyBytes - keyPrefix.length, '0')}`
}

/** The number of the key with this name; undefined: no key has it. */
export function keyNumber(name: string): number | undefined {
  const key = Number(name.slice(keyPrefix.length))
  return Number.isInteger(key) && key >= 0 && keyName(key) === name ? key : undefined
}

/** The names of keys, kept up to `limits.benchKeyNamesMax`: making one costs more than choosing the key. */
export class KeyNames {
  readonly #names: string[] = []

  of(key: number): string {
    // Filled from the front, so that the array has no holes; the load asks in that order.
    if (key < this.#names.length) return this.#names[key]!
    const name = keyName(key)
    if (key === this.#names.length && key < limits.benchKeyNamesMax) this.#names.push(name)
    return name
  }
}

/** A read gave something that was never written under its key, or something that was superseded before the read began. */
export class WrongValueError extends Error {
  override readonly name = 'WrongValueError'
  readonly code: 'wrong-value' | 'stale-value' | 'missing-value'

  constructor(code: WrongValueError['code'], message: string) {
    super(message)
    this.code = code
  }
}

/** Makes the values that are written, and reads their marks when they come back. */
export class Values {
  readonly valueBytes: number
  /** Names this run: what an earlier one has left in the store is told from what this one has written. */
  readonly run: number
  readonly #filler: Buffer

  /**
   * @param valueBytes - the size of each value, at least `valueBytesMin`
   * @param run - 32 bits that no other run has
   */
  constructor(valueBytes: number, seed: string, run: number) {
    this.valueBytes = valueBytes
    this.run = run >>> 0
    const random = new LoadRandom(`${seed}/filler`)
    // Longer than a value, and taken from a place of its own for each write: values that are all alike would flatter
    // whoever compresses or shares them.
    this.#filler = Buffer.allocUnsafe(valueBytes + fillerShift)
    for (let i = 0; i < this.#filler.length; i++) this.#filler[i] = random.uint32() & 0xff
  }

  /** A new value: write number `write` of this key. The caller may keep it. */
  make(key: number, write: number): Buffer {
    const value = Buffer.allocUnsafe(this.valueBytes)
    const from = (key + write * 61) % fillerShift
    this.#filler.copy(value, 0, from, from + this.valueBytes)
    value.writeUInt32LE(key, 0)
    value.writeUInt32LE(this.run, runAt)
    value.writeUInt32LE(write, writeAt)
    const end = this.valueBytes - checksumBytes
    value.writeUInt32LE(crc32(value.subarray(0, end)), end)
    return value
  }

  /**
   * The number of the write that made this value of this key; undefined where it was written by another run. Throws
   * WrongValueError where it was not written under this key, or is damaged.
   */
  writeOf(key: number, value: Uint8Array): number | undefined {
    const view = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.length)
    const end = view.length - checksumBytes
    if (view.length < valueBytesMin) {
      throw new WrongValueError(
        'wrong-value',
        `${keyName(key)} has a value of ${view.length} B, not ${this.valueBytes} B`,
      )
    }
    if (view.readUInt32LE(end) !== crc32(view.subarray(0, end))) {
      throw new WrongValueError('wrong-value', `${keyName(key)} has a value whose checksum is wrong`)
    }
    const owner = view.readUInt32LE(0)
    if (owner !== key) throw new WrongValueError('wrong-value', `${keyName(key)} has the value of ${keyName(owner)}`)
    if (view.readUInt32LE(runAt) !== this.run) return undefined
    if (view.length !== this.valueBytes) {
      throw new WrongValueError(
        'wrong-value',
        `${keyName(key)} has a value of ${view.length} B, not ${this.valueBytes} B`,
      )
    }
    return view.readUInt32LE(writeAt)
  }
}

/** Places in the filler that a value may begin at. */
const fillerShift = 4096
