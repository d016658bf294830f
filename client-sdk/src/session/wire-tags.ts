/** Protobuf's wire types, and a field's tag made of its number and type. */
export const varint = 0
export const fixed64 = 1
export const delimited = 2
export const fixed32 = 5

export function tagOf(field: number, type: number): number {
  return (field << 3) | type
}
