import type { SimRandom } from '@quorumkv/internal/env-sim'

/*
 * Mutations that know Protocol Buffers: what is around a changed field keeps fitting, so that readers get as far as what the
 * field means. Elsewhere the change of one byte mostly breaks a length, and nothing behind it is looked at.
 */

interface Field {
  readonly number: number
  readonly type: number
  /** Of `varint`. */
  value: bigint
  /** Of all others. */
  bytes: Uint8Array
}

const varintsOfNote = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  4095n,
  4096n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 53n,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
]
const doublesOfNote = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  -1,
  0,
  0.5,
  1e308,
  2 ** 48,
  2 ** 53,
  2 ** 64,
]

/** Undefined: these bytes are no message. */
function fieldsOf(bytes: Uint8Array): Field[] | undefined {
  const fields: Field[] = []
  let at = 0
  const varint = (): bigint | undefined => {
    let value = 0n
    for (let shift = 0n; shift < 70n && at < bytes.length; shift += 7n) {
      const byte = bytes[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return undefined
  }
  while (at < bytes.length) {
    const tag = varint()
    if (tag === undefined || tag >> 3n === 0n || tag > 0xffffffffn) return undefined
    const type = Number(tag & 7n)
    const field: Field = { number: Number(tag >> 3n), type, value: 0n, bytes }
    if (type === 0) {
      const value = varint()
      if (value === undefined) return undefined
      field.value = value
    } else {
      const length = type === 2 ? varint() : type === 1 ? 8n : type === 5 ? 4n : undefined
      if (length === undefined || length > BigInt(bytes.length - at)) return undefined
      field.bytes = bytes.subarray(at, at + Number(length))
      at += Number(length)
    }
    fields.push(field)
  }
  return fields
}

function pushVarint(into: number[], value: bigint): void {
  let rest = value
  for (; rest >= 0x80n; rest >>= 7n) into.push(Number(rest & 0x7fn) | 0x80)
  into.push(Number(rest))
}

function encoded(fields: readonly Field[]): Uint8Array {
  const bytes: number[] = []
  for (const field of fields) {
    pushVarint(bytes, BigInt(field.number * 8 + field.type))
    if (field.type === 0) pushVarint(bytes, field.value)
    else {
      if (field.type === 2) pushVarint(bytes, BigInt(field.bytes.length))
      for (const byte of field.bytes) bytes.push(byte)
    }
  }
  return Uint8Array.from(bytes)
}

function changeValue(random: SimRandom, field: Field, depth: number): void {
  if (field.type === 0) {
    field.value = random.chance(0.6)
      ? random.pick(varintsOfNote)
      : BigInt.asUintN(64, field.value + (random.chance(0.5) ? 1n : -1n))
    return
  }
  if (field.type === 1 && random.chance(0.7)) {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, random.pick(doublesOfNote), true)
    field.bytes = bytes
    return
  }
  const inner = field.type === 2 && depth < 6 ? fieldsOf(field.bytes) : undefined
  if (inner !== undefined && inner.length > 0 && random.chance(0.85)) {
    changeOne(random, inner, depth + 1)
    field.bytes = encoded(inner)
    return
  }
  field.bytes = field.bytes.slice()
  if (field.type === 2 && random.chance(0.3)) field.bytes = random.bytes(random.below(40))
  else if (field.bytes.length > 0) field.bytes[random.below(field.bytes.length)] = random.below(256)
}

function changeOne(random: SimRandom, fields: Field[], depth: number): void {
  const at = random.below(fields.length)
  const field = fields[at]!
  switch (random.below(8)) {
    case 0:
      fields.splice(random.below(fields.length + 1), 0, { ...field })
      return
    case 1:
      fields.splice(at, 1)
      return
    case 2: {
      const other = random.below(fields.length)
      fields[at] = fields[other]!
      fields[other] = field
      return
    }
    case 3:
      fields[at] = { ...field, number: random.chance(0.7) ? 1 + random.below(40) : 1 + random.below(0x1fffffff) }
      return
    default: {
      const copy = { ...field }
      changeValue(random, copy, depth)
      fields[at] = copy
    }
  }
}

/** Changes one field of a message, or of a message within it, and leaves the rest well-formed; other bytes stay. */
export function mutateFields(random: SimRandom, bytes: Uint8Array): Uint8Array {
  // To take apart what is very long takes longer than any reader does.
  const fields = bytes.length > 8_192 ? undefined : fieldsOf(bytes)
  if (fields === undefined || fields.length === 0) return bytes
  changeOne(random, fields, 0)
  return encoded(fields)
}
