import { assert } from '../../base/index.js'

/*
 * Where a record lies: a chunk, and a word (4 bytes) within it. 20 bits of word make a chunk 4 MiB at most; what is
 * larger than a chunk has one of its own and starts at its first word.
 */
export const wordBytes = 4
export const wordBits = 20
export const chunkWordsDefault: number = 2 ** 18
const chunksMax = 2 ** 24

/** No span starts at word 0: so the location (chunk, word) is never all zero, which an index takes for "empty". */
export const firstWord = 1

/** A span above this share of a chunk gets a chunk of its own, so that no more is lost where a chunk ends. */
const ownChunkShare = 1 / 16

/** Compaction has work while more than this share of the sealed chunks is dead. */
const deadShareMax = 1 / 6

const noChunk = 0

/**
 * Append-only memory for byte records in few large chunks: nothing for the garbage collector to walk, no slack per
 * record. A span is allocated at the end of the open chunk and later declared dead in place; a chunk with nothing
 * alive is freed at once, and the owner empties sparse ones (`pickSparse`) by moving what is alive. In the manner of a
 * log-structured file system's segments (Rosenblum and Ousterhout, 1992), with greedy cleaning.
 */
export class Arena {
  /** By chunk number; two views of the same memory. A number without a chunk has one word, for whoever reads ahead. */
  readonly bytes: Uint8Array<ArrayBuffer>[] = [new Uint8Array(wordBytes)]
  readonly words: Uint32Array<ArrayBuffer>[] = [new Uint32Array(1)]
  /** By chunk number: the word behind the last span. */
  readonly #used: number[] = [firstWord]
  readonly #deadWords: number[] = [0]
  readonly #freeNumbers: number[] = []
  /** The last chunk freed, kept for the next use so that steady overwriting does not churn the allocator. */
  #spare: Uint8Array<ArrayBuffer> | undefined
  readonly #chunkWords: number
  readonly #ownChunkWords: number
  #open = noChunk
  #heldBytes = 0
  /** Of the regular chunks that take no more spans: compaction's ledger. */
  #sealedWords = 0
  #sealedDeadWords = 0

  /** The chunk that compaction empties (0: none), and the span at which it goes on; see `pickSparse`. */
  sparse: number = noChunk
  sparseAt: number = firstWord
  /** The chunk of the last `allocate`: a second result that costs no object. */
  allocatedChunk: number = noChunk

  constructor(chunkWords: number = chunkWordsDefault) {
    assert(chunkWords >= 64 && chunkWords <= 2 ** wordBits, 'a chunk has 64 to 2^20 words')
    this.#chunkWords = chunkWords
    this.#ownChunkWords = Math.floor(chunkWords * ownChunkShare)
  }

  /** Memory held, in bytes, the spare chunk included. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Of the spans that are not dead, in bytes. Looks at every chunk. */
  get liveBytes(): number {
    let words = 0
    for (let chunk = 1; chunk < this.words.length; chunk++) {
      if (this.#used[chunk]! > 0) words += this.#used[chunk]! - firstWord - this.#deadWords[chunk]!
    }
    return words * wordBytes
  }

  /** Reserves `words` words; returns the first one and leaves its chunk in `allocatedChunk`. */
  allocate(words: number): number {
    if (words > this.#ownChunkWords) return this.#allocateOwnChunk(words)
    let chunk = this.#open
    let at = this.#used[chunk]!
    if (at + words > this.words[chunk]!.length) {
      this.#seal()
      chunk = this.#addChunk(this.#spare ?? this.#newMemory(this.#chunkWords))
      this.#open = chunk
      this.#spare = undefined
      at = firstWord
    }
    this.#used[chunk] = at + words
    this.allocatedChunk = chunk
    return at
  }

  /** The `words` words of a span hold nothing any more. Its chunk is freed when that was the last one alive. */
  release(chunk: number, words: number): void {
    const dead = this.#deadWords[chunk]! + words
    const span = this.#used[chunk]! - firstWord
    assert(dead <= span, 'more dead words than a chunk holds')
    this.#deadWords[chunk] = dead
    if (chunk === this.#open) {
      if (dead === span) this.#rewind(chunk)
      return
    }
    if (this.#isRegular(chunk)) this.#sealedDeadWords += words
    if (dead === span) this.#free(chunk)
  }

  /**
   * Whether there is a chunk to empty: `sparse`, from `sparseAt` on. One that was begun is finished; then the sealed
   * chunk with the most dead words follows, or none while too little is dead for the work to pay.
   */
  pickSparse(): boolean {
    if (this.sparse !== noChunk) return true
    if (this.#sealedDeadWords <= this.#sealedWords * deadShareMax) return false
    let sparsest = noChunk
    let most = 0
    for (let chunk = 1; chunk < this.words.length; chunk++) {
      const dead = this.#deadWords[chunk]!
      if (dead <= most || chunk === this.#open || !this.#isRegular(chunk)) continue
      sparsest = chunk
      most = dead
    }
    assert(sparsest !== noChunk, 'dead words without a chunk that holds them')
    this.sparse = sparsest
    this.sparseAt = firstWord
    return true
  }

  #free(chunk: number): void {
    if (chunk === this.sparse) this.sparse = noChunk
    const memory = this.bytes[chunk]!
    if (this.#isRegular(chunk)) {
      this.#sealedWords -= this.#used[chunk]! - firstWord
      this.#sealedDeadWords -= this.#deadWords[chunk]!
      if (this.#spare === undefined) this.#spare = memory
      else this.#heldBytes -= memory.length
    } else {
      this.#heldBytes -= memory.length
    }
    this.bytes[chunk] = this.bytes[noChunk]!
    this.words[chunk] = this.words[noChunk]!
    this.#used[chunk] = 0
    this.#deadWords[chunk] = 0
    this.#freeNumbers.push(chunk)
  }

  #isRegular(chunk: number): boolean {
    return this.words[chunk]!.length === this.#chunkWords
  }

  #allocateOwnChunk(words: number): number {
    // One word more than a regular chunk has, where needed: its length is what tells the two kinds apart.
    const length = firstWord + words === this.#chunkWords ? words + firstWord + 1 : words + firstWord
    const chunk = this.#addChunk(this.#newMemory(length))
    this.#used[chunk] = firstWord + words
    this.allocatedChunk = chunk
    return firstWord
  }

  #newMemory(words: number): Uint8Array<ArrayBuffer> {
    this.#heldBytes += words * wordBytes
    return new Uint8Array(words * wordBytes)
  }

  #addChunk(memory: Uint8Array<ArrayBuffer>): number {
    const chunk = this.#freeNumbers.pop() ?? this.words.length
    assert(chunk < chunksMax, 'no chunk number left')
    this.bytes[chunk] = memory
    this.words[chunk] = new Uint32Array(memory.buffer)
    this.#used[chunk] = firstWord
    this.#deadWords[chunk] = 0
    return chunk
  }

  #seal(): void {
    const chunk = this.#open
    if (chunk === noChunk) return
    this.#sealedWords += this.#used[chunk]! - firstWord
    this.#sealedDeadWords += this.#deadWords[chunk]!
    this.#open = noChunk
  }

  #rewind(chunk: number): void {
    this.#used[chunk] = firstWord
    this.#deadWords[chunk] = 0
  }
}
