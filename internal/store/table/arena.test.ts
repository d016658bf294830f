import { describe, expect, it } from 'vitest'
import { Arena } from './arena.js'

const chunkWords = 1024
/** Fits 16 times into a chunk, and just misses having one of its own. */
const span = 63

function chunksOf(arena: Arena, count: number): number[] {
  const chunks: number[] = []
  for (let i = 0; i < count * 16; i++) {
    arena.allocate(span)
    if (chunks.at(-1) !== arena.allocatedChunk) chunks.push(arena.allocatedChunk)
  }
  expect(chunks.length).toBe(count)
  return chunks
}

function releaseAll(arena: Arena, chunk: number, spans: number): void {
  for (let i = 0; i < spans; i++) arena.release(chunk, span)
}

describe('Arena', () => {
  it('starts the open chunk again when the last of it died', () => {
    const arena = new Arena(chunkWords)
    for (let i = 0; i < 1000; i++) {
      expect(arena.allocate(span)).toBe(1)
      arena.release(arena.allocatedChunk, span)
    }
    expect(arena.heldBytes).toBe(chunkWords * 4)
  })

  it('counts what died before its chunk was sealed', () => {
    const arena = new Arena(chunkWords)
    const [first] = chunksOf(arena, 1)
    releaseAll(arena, first!, 3)
    expect(arena.pickSparse(), 'the open chunk is left alone').toBe(false)
    const [open] = chunksOf(arena, 1)
    releaseAll(arena, open!, 5)
    expect(arena.pickSparse()).toBe(true)
    expect(arena.sparse, 'also where more is dead in the open one').toBe(first)
  })

  it('forgets freed chunks when it weighs the dead against the rest', () => {
    const arena = new Arena(chunkWords)
    const chunks = chunksOf(arena, 40)
    for (const chunk of chunks.slice(0, 37)) releaseAll(arena, chunk, 16)
    expect(arena.pickSparse()).toBe(false)
    releaseAll(arena, chunks[37]!, 4)
    releaseAll(arena, chunks[38]!, 5)
    expect(arena.pickSparse()).toBe(true)
    expect(arena.sparse, 'the sparsest goes first').toBe(chunks[38])
    expect(arena.heldBytes).toBe(4 * chunkWords * 4)
  })

  it('stops emptying a chunk that died meanwhile, and may use its number again', () => {
    const arena = new Arena(chunkWords)
    const [first] = chunksOf(arena, 2)
    releaseAll(arena, first!, 10)
    expect(arena.pickSparse()).toBe(true)
    arena.sparseAt += 3 * span
    releaseAll(arena, first!, 6)
    expect(arena.pickSparse()).toBe(false)
    const again = chunksOf(arena, 2)
    expect(again).toContain(first)
    releaseAll(arena, again[0]!, 10)
    expect(arena.pickSparse()).toBe(true)
    expect(arena.sparseAt).toBe(1)
  })

  it('keeps large spans, also one of a chunk to the word, out of the weighing', () => {
    for (const words of [chunkWords / 16 + 1, chunkWords - 2, chunkWords - 1, chunkWords, 10 * chunkWords]) {
      const arena = new Arena(chunkWords)
      chunksOf(arena, 2)
      const held = arena.heldBytes
      expect(arena.allocate(words + 1)).toBe(1)
      expect(arena.heldBytes).toBeGreaterThan(held)
      arena.release(arena.allocatedChunk, words + 1)
      arena.allocate(words)
      arena.release(arena.allocatedChunk, words)
      expect(arena.heldBytes).toBe(held)
      expect(arena.pickSparse()).toBe(false)
    }
  })
})
