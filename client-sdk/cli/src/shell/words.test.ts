import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { escapedBytes, typed, WordReader } from './words.js'

function words(...lines: string[]): string[] | string {
  const reader = new WordReader()
  for (const line of lines) reader.push(line)
  return reader.waiting ?? reader.take()
}

const bytesOf = (word: string): Buffer => escapedBytes(word) ?? Buffer.from(word)

describe('the words of a line', () => {
  it.each<[string[], string[] | string]>([
    [[''], []],
    [['  # put a b'], []],
    [['put  a\tb '], ['put', 'a', 'b']],
    [['put a ""'], ['put', 'a', '']],
    [[`put 'a b' "c d"e`], ['put', 'a b', 'c de']],
    [[`put '\\n' "\\n\\x41\\u{1f600}"`], ['put', '\\n', '\nA😀']],
    [['put a\\ b \\"x\\"'], ['put', 'a b', '"x"']],
    [['put a#b x<y'], ['put', 'a#b', 'x<y']],
    [['get \\xc3\\xa9'], ['get', 'é']],
    [
      ['put k "one', '', 'three"'],
      ['put', 'k', 'one\n\nthree'],
    ],
    [
      ['put k on\\', 'e'],
      ['put', 'k', 'one'],
    ],
    [
      ['put k \\', 'v'],
      ['put', 'k', 'v'],
    ],
    [
      ['put k <<END --ttl 5s', ' "one\\n', '# two', 'END'],
      ['put', 'k', ' "one\\n\n# two', '--ttl', '5s'],
    ],
    [
      ['put k <<A', 'A'],
      ['put', 'k', ''],
    ],
    [['put k "one'], 'quote'],
    [['put k \\'], 'continuation'],
    [['put k <<END', 'end'], 'document'],
  ])('%j', (lines, expected) => {
    expect(words(...lines)).toEqual(expected)
  })

  it.each([['put \\q'], ['put \\u{d800}'], ['put k << END'], ['put "a\\']])('%j is refused, and forgotten', (line) => {
    const reader = new WordReader()
    expect(() => reader.push(line)).toThrow()
    reader.push('get k')
    expect(reader.take()).toEqual(['get', 'k'])
  })

  it('bytes that are no text are kept one by one', () => {
    const [, word] = words('get a\\xff\\x00é') as string[]
    expect(bytesOf(word!)).toEqual(Buffer.from([0x61, 0xff, 0x00, 0xc3, 0xa9]))
    expect(escapedBytes('😀')).toBeUndefined()
  })

  it('what is offered for a key means that key when it is typed', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        fc.constantFrom('' as const, '"' as const),
        (key, quote) => {
          const [, word] = words(`get ${typed(key, quote)}${quote}`) as string[]
          expect(bytesOf(word!)).toEqual(Buffer.from(key))
        },
      ),
    )
    fc.assert(
      fc.property(
        fc.string({ minLength: 1, unit: 'binary' }),
        fc.constantFrom('' as const, '"' as const, "'" as const),
        (key, quote) => {
          const text = typed(Buffer.from(key), quote)
          if (text === undefined) return
          const [, word] = words(`get ${text}${quote}`) as string[]
          expect(word).toBe(Buffer.from(key).toString())
        },
      ),
    )
  })

  it('what is offered cannot turn the direction of the line that is typed, in quotes of any kind', () => {
    for (const mark of ['\u202e', '\u2066', '\u061c', '\u200f', '\u009b']) {
      const key = Buffer.from(`a${mark}b`)
      expect(typed(key, "'")).toBeUndefined()
      for (const quote of ['', '"'] as const) expect(typed(key, quote)).not.toContain(mark)
    }
  })

  it('knows where the word at the cursor begins', () => {
    expect(WordReader.partial('get us')).toEqual({ words: ['get'], start: 4, quote: '', word: 'us' })
    expect(WordReader.partial('get ')).toEqual({ words: ['get'], start: 4, quote: '', word: '' })
    expect(WordReader.partial('get "a b')).toEqual({ words: ['get'], start: 4, quote: '"', word: 'a b' })
    expect(WordReader.partial('put k \\')).toBeUndefined()
  })
})
