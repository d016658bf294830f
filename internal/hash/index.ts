export { crc32 } from './crc32.js'
export { type Hash64, hash64 } from './hash64.js'
export { murmur3_32 } from './murmur3.js'
