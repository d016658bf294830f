/** The oracle of murmur3.test.ts ships no types. Strings stand for bytes: one character per byte. */
declare module 'murmurhash3js' {
  const murmur: { x86: { hash32(bytes: string, seed?: number): number } }
  export default murmur
}
