import type { SimRandom } from '@quorumkv/internal/env-sim'
import { mutateFields } from './fields.js'

/** No input is longer, unless its corpus is. */
export const inputBytesMax = 65_536

type Mutation = (random: SimRandom, bytes: Uint8Array, corpus: readonly Uint8Array[]) => Uint8Array

/** Bytes and numbers at which readers go wrong. */
const bytesOfNote = [0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x22, 0x5c, 0x7b, 0x25]
const numbersOfNote = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]
const doublesOfNote = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  -0,
  0.5,
  1e308,
  2 ** 53,
  2 ** 63,
  5e-324,
]

/** Text that is not UTF-8, or is but looks like something else. */
const strangeText = [
  [0xc0, 0x80],
  [0xc1, 0xbf],
  [0xe0, 0x80, 0xaf],
  [0xed, 0xa0, 0x80],
  [0xf0, 0x80, 0x80, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xf8, 0x88, 0x80, 0x80, 0x80],
  [0xff, 0xfe],
  [0xef, 0xbb, 0xbf],
  [0xe2, 0x80, 0xa8],
  [0x00],
]

/** What nests in the encodings that are read here: groups and messages of Protocol Buffers, JSON, YAML, paths. */
const nests = [
  [0x0b],
  [0x0a, 0x7f],
  [0x5b],
  [0x7b, 0x22, 0x61, 0x22, 0x3a],
  [0x2d, 0x20],
  [0x26, 0x61, 0x20],
  [0x2e, 0x2e, 0x2f],
]

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** A stretch of at most `most` bytes. */
function stretch(random: SimRandom, bytes: Uint8Array, most: number): [start: number, end: number] {
  const start = random.below(bytes.length + 1)
  return [start, start + random.below(Math.min(most, bytes.length - start) + 1)]
}

/** Mostly small, sometimes up to `most`. */
function upTo(random: SimRandom, most: number): number {
  return Math.floor(most * random.float() ** 3)
}

function insert(bytes: Uint8Array, at: number, part: Uint8Array): Uint8Array {
  return concat(bytes.subarray(0, at), part, bytes.subarray(at))
}

/** A number of so many bytes within a field of any width becomes another one, of note or near what it was. */
function otherNumber(random: SimRandom, bytes: Uint8Array): Uint8Array {
  const width = random.pick([1, 2, 4, 4, 8])
  if (bytes.length < width) return bytes
  const copy = bytes.slice()
  const view = new DataView(copy.buffer)
  const at = random.below(bytes.length - width + 1)
  const little = random.chance(0.8)
  const near = random.chance(0.5) ? random.pick([-1, 1]) : undefined
  if (width === 8) view.setFloat64(at, random.pick(doublesOfNote), little)
  else if (width === 4)
    view.setUint32(at, near === undefined ? random.pick(numbersOfNote) : view.getUint32(at, little) + near, little)
  else if (width === 2)
    view.setUint16(at, near === undefined ? random.pick(numbersOfNote) : view.getUint16(at, little) + near, little)
  else view.setUint8(at, near === undefined ? random.pick(bytesOfNote) : view.getUint8(at) + near)
  return copy
}

/** Something of base 128 becomes longer than it need be, or longer than it may be. */
function longVarint(random: SimRandom, bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0) return bytes
  const at = random.below(bytes.length)
  const fill = new Uint8Array(1 + random.below(12)).fill(random.pick([0x80, 0xff]))
  return concat(
    bytes.subarray(0, at),
    Uint8Array.of(bytes[at]! | 0x80),
    fill,
    Uint8Array.of(random.pick([0, 1, 0x7f])),
    bytes.subarray(at + 1),
  )
}

const mutations: readonly Mutation[] = [
  function flipBits(random, bytes) {
    const copy = bytes.slice()
    for (let i = 1 + random.below(4); i > 0 && copy.length > 0; i--)
      copy[random.below(copy.length)]! ^= 1 << random.below(8)
    return copy
  },
  function setByte(random, bytes) {
    const copy = bytes.slice()
    if (copy.length > 0)
      copy[random.below(copy.length)] = random.chance(0.5) ? random.pick(bytesOfNote) : random.below(256)
    return copy
  },
  (random, bytes) => bytes.slice(0, random.below(bytes.length + 1)),
  (random, bytes) => bytes.slice(random.below(Math.min(bytes.length, 64) + 1)),
  (random, bytes) => otherNumber(random, bytes),
  (random, bytes) => otherNumber(random, bytes),
  (random, bytes) => longVarint(random, bytes),
  function splice(random, bytes, corpus) {
    const other = random.pick(corpus)
    const at = random.below(bytes.length + 1)
    return concat(
      bytes.subarray(0, at),
      other.subarray(random.chance(0.5) ? Math.min(at, other.length) : random.below(other.length + 1)),
    )
  },
  function duplicate(random, bytes) {
    const [start, end] = stretch(random, bytes, 256)
    return insert(bytes, random.chance(0.5) ? end : random.below(bytes.length + 1), bytes.subarray(start, end))
  },
  function remove(random, bytes) {
    const [start, end] = stretch(random, bytes, 64)
    return concat(bytes.subarray(0, start), bytes.subarray(end))
  },
  function reorder(random, bytes) {
    const [a, b] = stretch(random, bytes, 128)
    const c = b + random.below(Math.min(128, bytes.length - b) + 1)
    return concat(bytes.subarray(0, a), bytes.subarray(b, c), bytes.subarray(a, b), bytes.subarray(c))
  },
  (random, bytes) => insert(bytes, random.below(bytes.length + 1), random.bytes(upTo(random, 64))),
  (random, bytes) => insert(bytes, random.below(bytes.length + 1), Uint8Array.from(random.pick(strangeText))),
  function nest(random, bytes) {
    const part = random.pick(nests)
    const times = upTo(random, random.chance(0.05) ? inputBytesMax / part.length : 400)
    return insert(bytes, random.below(bytes.length + 1), repeated(Uint8Array.from(part), times))
  },
  function many(random, bytes) {
    const [start, end] = stretch(random, bytes, 24)
    const part = bytes.subarray(start, end)
    if (part.length === 0) return bytes
    const times = upTo(random, random.chance(0.05) ? inputBytesMax / part.length : 200)
    return insert(bytes, end, repeated(part, times))
  },
  mutateFields,
  mutateFields,
  mutateFields,
]

function repeated(part: Uint8Array, times: number): Uint8Array {
  const bytes = new Uint8Array(part.length * times)
  for (let i = 0; i < times; i++) bytes.set(part, i * part.length)
  return bytes
}

/** Something near one of the inputs of a corpus, now and then one of them as it is, or nothing that anyone has ever sent. */
export function mutate(random: SimRandom, corpus: readonly Uint8Array[]): Uint8Array {
  if (random.chance(0.03)) return random.bytes(upTo(random, 512))
  // A copy that is no Buffer: what `slice` gives of one is the same memory, and changes would stay in the corpus.
  let bytes: Uint8Array = new Uint8Array(random.pick(corpus))
  const most = Math.max(inputBytesMax, bytes.length)
  if (random.chance(0.03)) return bytes.slice()
  for (let i = 1 + random.below(3); i > 0; i--) bytes = random.pick(mutations)(random, bytes, corpus)
  return bytes.slice(0, most)
}

const encoder = new TextEncoder()

/** The same over text; `words` are put in as well. */
export function mutateText(
  random: SimRandom,
  corpus: readonly Uint8Array[],
  words: readonly string[] = [],
): Uint8Array {
  const bytes = mutate(random, corpus)
  if (words.length === 0 || random.chance(0.5)) return bytes
  return insert(bytes, random.below(bytes.length + 1), encoder.encode(random.pick(words))).slice(0, inputBytesMax)
}
