import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '../../base/index.js'
import { readFully } from '../../env/index.js'
import { ReadAheadFile } from './read-ahead.js'

/** A file of `bytes` whose reads end when they are told to, and take as much as `portion` says. */
class TestFile {
  readonly path = 'test'
  readonly starts: number[] = []
  underWay = 0
  closed = false
  failAt = Number.POSITIVE_INFINITY
  readonly #bytes: Uint8Array
  readonly #portion: (wanted: number) => number

  constructor(bytes: Uint8Array, portion: (wanted: number) => number = (wanted) => wanted) {
    this.#bytes = bytes
    this.#portion = portion
  }

  async size(): Promise<number> {
    return this.#bytes.length
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    this.starts.push(position)
    this.underWay++
    await new Promise((resolve) => setImmediate(resolve))
    this.underWay--
    if (position >= this.failAt) throw new Error(`failed at ${position}`)
    const left = Math.max(0, this.#bytes.length - position)
    const taken = Math.min(into.length, left, left === 0 ? 0 : Math.max(1, this.#portion(into.length)))
    into.set(this.#bytes.subarray(position, position + taken))
    return taken
  }

  async close(): Promise<void> {
    expect(this.underWay, 'nothing is read from a file that is being closed').toBe(0)
    this.closed = true
  }
}

const large = Uint8Array.from({ length: 3 * limits.readChunkBytes + 777 }, (_, i) => (i * 31) ^ (i >>> 9))

test('whoever reads on or jumps gets the bytes of the file, whatever the disk gives at a time', async () => {
  const reads = fc.array(
    fc.record({ jump: fc.option(fc.nat(large.length + 10), { freq: 5 }), length: fc.nat(1_500_000) }),
    { minLength: 1, maxLength: 8 },
  )
  await fc.assert(
    fc.asyncProperty(reads, fc.constantFrom(7_001, 400_000, 2 ** 30), async (wanted, most) => {
      const file = new TestFile(large, (asked) => Math.min(asked, most))
      const ahead = new ReadAheadFile(file)
      expect(await ahead.size()).toBe(large.length)
      let at = 0
      for (const { jump, length } of wanted) {
        at = jump ?? at
        const into = new Uint8Array(length)
        const got = await readFully({ read: (part, position) => ahead.read(part, position) }, into, at)
        expect(got).toBe(Math.max(0, Math.min(length, large.length - at)))
        expect(Buffer.compare(into.subarray(0, got), large.subarray(at, at + got))).toBe(0)
        at += got
      }
      await ahead.close()
      expect(file.closed).toBe(true)
    }),
    { numRuns: 40 },
  )
})

test('the next piece is on its way when one has been handed out', async () => {
  const file = new TestFile(large)
  const ahead = new ReadAheadFile(file)
  await ahead.read(new Uint8Array(100), 0)
  expect(file.starts).toEqual([0, limits.readChunkBytes])
  expect(file.underWay).toBe(1)
  await ahead.close()
})

test('an error is thrown by the read that wants those bytes, once, and by none if nobody does', async () => {
  const file = new TestFile(large)
  const ahead = new ReadAheadFile(file)
  file.failAt = 1
  expect(await ahead.read(new Uint8Array(limits.readChunkBytes), 0)).toBe(limits.readChunkBytes)
  await new Promise((resolve) => setTimeout(resolve, 5))
  await expect(ahead.read(new Uint8Array(1), limits.readChunkBytes)).rejects.toThrow('failed at 1048576')
  file.failAt = Number.POSITIVE_INFINITY
  expect(await ahead.read(new Uint8Array(1), limits.readChunkBytes)).toBe(1)
  file.failAt = 1
  await ahead.close()
  expect(file.closed).toBe(true)
})
