import type { Slot } from '@quorumkv/internal/base'
import { slotOf } from '@quorumkv/internal/slots'

interface Key {
  readonly bytes: Uint8Array
  readonly slot: Slot
}

const text = new TextEncoder()
/** A play has a few dozen keys, and looks at each of them some ten thousand times. */
const known = new Map<string, Key>()

function keyOf(name: string): Key {
  const found = known.get(name)
  if (found !== undefined) return found
  const bytes = text.encode(name)
  const key = { bytes, slot: slotOf(bytes) }
  known.set(name, key)
  return key
}

/** Shared: nobody may change them. */
export function keyBytes(name: string): Uint8Array {
  return keyOf(name).bytes
}

export function keySlot(name: string): Slot {
  return keyOf(name).slot
}
