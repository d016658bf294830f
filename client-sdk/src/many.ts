import { keyBytes } from './collection/codec.js'
import { asKvError, invalidArgument } from './errors.js'
import { limits } from './limits.js'
import type { Key, PutEntry, PutOutcome, PutResult, Value } from './types.js'

/** The items of an iterable, of which anything may have been passed. */
export function itemsOf<T>(iterable: Iterable<T>, field: string): T[] {
  const given: unknown = iterable
  if (typeof given === 'string' || typeof Object(given)[Symbol.iterator] !== 'function') {
    throw invalidArgument(field, 'must be an array or another iterable')
  }
  return [...iterable]
}

/**
 * Runs `run` for every item, in order, as many at a time as the limits for one call allow; `bytesOf` says what an item
 * weighs. `run` must not reject. All that fits starts at once, so that it leaves in the same messages.
 */
export function forEachBounded<T>(
  items: readonly T[],
  opsMax: number,
  bytesMax: number,
  bytesOf: (item: T) => number,
  run: (item: T, index: number) => Promise<void>,
): Promise<void> {
  return new Promise((resolve) => {
    let next = 0
    let running = 0
    let bytes = 0
    const start = (): void => {
      while (next < items.length && running < opsMax) {
        const item = items[next]!
        const weight = bytesOf(item)
        if (running > 0 && bytes + weight > bytesMax) return
        running++
        bytes += weight
        void run(item, next++).then(() => {
          running--
          bytes -= weight
          start()
        })
      }
      if (running === 0 && next === items.length) resolve()
    }
    start()
  })
}

/**
 * Reads many keys, each once. The first error ends it, after what runs has ended: nothing goes on behind the caller's
 * back. Keys without a value are left out; the others come in the order in which the keys were given.
 */
export async function readMany<K extends Key, T>(
  keys: Iterable<K>,
  opsMax: number,
  read: (key: K) => Promise<T | undefined>,
): Promise<Map<K, T>> {
  const distinct = [...new Set(itemsOf(keys, 'keys'))]
  const found: (T | undefined)[] = new Array<T | undefined>(distinct.length).fill(undefined)
  const errors: unknown[] = []
  const readOne = async (key: K, index: number): Promise<void> => {
    if (errors.length > 0) return
    try {
      found[index] = await read(key)
    } catch (error) {
      errors.push(error)
    }
  }
  await forEachBounded(distinct, Math.min(opsMax, limits.manyOpsMax), limits.manyBytesMax, () => 0, readOne)
  if (errors.length > 0) throw errors[0]
  const result = new Map<K, T>()
  distinct.forEach((key, index) => {
    const value = found[index]
    if (value !== undefined) result.set(key, value)
  })
  return result
}

/** An entry of putMany in its long form, as far as it has been looked at. */
export interface WantedPut<V = Value> {
  readonly key: Key
  readonly value: V
  readonly ttlMs?: number | undefined
}

/** Writes many entries; of two with the same key the later one starts when the earlier one has ended. */
export async function writeMany(
  entries: Iterable<PutEntry>,
  opsMax: number,
  bytesMax: number,
  write: (entry: WantedPut) => Promise<PutResult>,
): Promise<PutOutcome[]> {
  const wanted = itemsOf(entries, 'entries')
  const outcomes: PutOutcome[] = []
  const lastByKey = new Map<string, Promise<void>>()
  const writeOne = async (entry: WantedPut, index: number, before: Promise<void> | undefined): Promise<void> => {
    await before
    try {
      const { version, acks } = await write(entry)
      outcomes[index] = { ok: true, version, acks }
    } catch (error) {
      outcomes[index] = { ok: false, error: asKvError(error) }
    }
  }
  const run = (item: PutEntry, index: number): Promise<void> => {
    try {
      const entry = wantedPut(item)
      const name = keyBytes(entry.key).toString('latin1')
      const done = writeOne(entry, index, lastByKey.get(name))
      lastByKey.set(name, done)
      return done
    } catch (error) {
      outcomes[index] = { ok: false, error: asKvError(error) }
      return Promise.resolve()
    }
  }
  const ops = Math.min(opsMax, limits.manyOpsMax)
  await forEachBounded(wanted, ops, Math.min(bytesMax, limits.manyBytesMax), weightOf, run)
  return outcomes
}

/** Either form of an entry, in its long form. Throws `invalid-argument` for anything else. */
export function wantedPut<V>(entry: readonly [key: Key, value: V] | WantedPut<V>): WantedPut<V> {
  if (typeof entry !== 'object' || entry === null) {
    throw invalidArgument('entries', 'must hold [key, value] pairs or objects with key and value')
  }
  return 'key' in entry ? entry : { key: entry[0], value: entry[1] }
}

/** Bytes that an entry holds while it waits, roughly: what the bound on all operations counts is exact. */
function weightOf(entry: PutEntry): number {
  const value: unknown = Array.isArray(entry) ? entry[1] : (entry as WantedPut | null)?.value
  const bytes = typeof value === 'string' ? value.length * 3 : value instanceof Uint8Array ? value.length : 0
  return Math.min(bytes, limits.valueBytesMax) + limits.keyBytesMax + limits.operationOverheadBytes
}
