/** The owners of a ring as `RingView` has them. Nothing here may need Node: the page uses it, too. */

function bytesOf(base64: string): Uint8Array {
  const binary = atob(base64)
  const bytes = new Uint8Array(binary.length)
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i)
  return bytes
}

/** The owners of a ring, slot by slot, as indexes into its members. */
export function decodeOwners(base64: string): Uint16Array {
  const bytes = bytesOf(base64)
  const owners = new Uint16Array(bytes.length >> 1)
  for (let i = 0; i < owners.length; i++) owners[i] = bytes[2 * i]! | (bytes[2 * i + 1]! << 8)
  return owners
}
