import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { PagedBytes } from './paged-bytes.js'

function contents(bytes: PagedBytes): Uint8Array {
  const all = new Uint8Array(bytes.size)
  expect(bytes.read(all, 0)).toBe(bytes.size)
  return all
}

const position = fc.integer({ min: 0, max: 13_000 })
const step = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), at: position, bytes: fc.uint8Array({ maxLength: 5000 }) }),
  fc.record({ kind: fc.constant('resize' as const), size: position }),
  fc.record({ kind: fc.constantFrom('share' as const, 'fork' as const, 'directWrite' as const) }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

test('an image keeps what was shared into it, whatever is written to the other afterwards', async () => {
  const run = (steps: readonly Step[]): void => {
    const live = new PagedBytes()
    const shared = new PagedBytes()
    const forks: [PagedBytes, Uint8Array][] = []
    let expected = contents(shared)
    for (const each of steps) {
      if (each.kind === 'write') live.write(each.bytes, each.at)
      else if (each.kind === 'resize') live.resize(each.size)
      else if (each.kind === 'share') {
        live.shareInto(shared)
        expected = contents(live)
      } else if (each.kind === 'fork') {
        const fork = shared.fork()
        fork.write(new Uint8Array([1, 2, 3]), 100)
        forks.push([fork, contents(fork)])
      } else {
        // What is written into the shared image by itself has been written to the live one before.
        const mark = new Uint8Array([9, 9])
        live.write(mark, 5000)
        shared.write(mark, 5000)
        expected = contents(shared)
      }
      expect(Buffer.compare(contents(shared), expected)).toBe(0)
    }
    for (const [fork, before] of forks) expect(Buffer.compare(contents(fork), before)).toBe(0)
  }
  await fc.assert(fc.property(fc.array(step, { maxLength: 25, size: 'max' }), run), { numRuns: 300 })
})

test('what is written into an image after a share is not seen by the other', () => {
  const live = new PagedBytes()
  const shared = new PagedBytes()
  for (const image of [live, shared]) image.write(new Uint8Array([1, 1, 1]), 0)
  live.shareInto(shared)
  shared.write(new Uint8Array([2]), 0)
  live.write(new Uint8Array([3]), 1)
  expect([...contents(live)]).toEqual([1, 3, 1])
  expect([...contents(shared)]).toEqual([2, 1, 1])
})

test('what an image was cut by does not come back, even where the cut itself had been forgotten', () => {
  const live = new PagedBytes()
  const shared = new PagedBytes()
  live.write(new Uint8Array(10_000).fill(7), 0)
  live.shareInto(shared)
  live.resize(100)
  live.forgetChanges()
  live.shareInto(shared)
  shared.resize(10_000)
  expect(contents(shared).lastIndexOf(7)).toBe(99)
})

test('what was never written takes no memory', () => {
  const before = process.memoryUsage().arrayBuffers
  const files = Array.from({ length: 50 }, () => {
    const bytes = new PagedBytes()
    bytes.resize(64 * 2 ** 20)
    bytes.write(new Uint8Array(1000), 32 * 2 ** 20)
    return bytes
  })
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 22)
  expect(files.every((bytes) => bytes.size === 64 * 2 ** 20)).toBe(true)
})
