import { describe, expect, it } from 'vitest'
import { formatBytes, formatCount, plural, shorten, visible } from './text.js'

describe('text for people', () => {
  it('counts and sizes', () => {
    expect(formatCount(1234567)).toBe('1,234,567')
    expect(plural(1, 'record')).toBe('1 record')
    expect(plural(2000, 'record')).toBe('2,000 records')
    expect([0, 1023, 1024, 1_048_575, 123_456_789].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.0 MiB',
      '117.7 MiB',
    ])
  })

  it('stored text cannot send commands to a terminal', () => {
    expect(visible('a\x1b[2Jb\x07\x9b1m\u202e')).toBe('a\\x1b[2Jb\\x07\\x9b1m\\u202e')
    expect(visible('a\tb\nc\r')).toBe('a\\tb\\nc\\r')
    expect(visible('a\tb\nc\r', '\t\n')).toBe('a\tb\nc\\r')
    expect(visible('naïve 😀 中文')).toBe('naïve 😀 中文')
  })

  it('what is cut is said, and no character is cut in half', () => {
    expect(shorten('abc', 3, 3)).toBe('abc')
    expect(shorten('abcd', 3, 2048)).toBe('abc… (2.0 KiB)')
    expect(shorten('ab😀d', 3, 7)).toBe('ab… (7 B)')
  })
})
