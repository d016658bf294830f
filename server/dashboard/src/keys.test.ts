import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compactJson, layOutJson } from './json-layout.js'
import {
  bestNotation,
  bytesOf,
  bytesOfBase64,
  bytesOfHex,
  hexOf,
  keyText,
  NotationError,
  pathSegment,
  shown,
} from './keys.js'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('notations', () => {
  it('any bytes come back from hex', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(bytesOf(shown(bytes, 'hex')!, 'hex')).toEqual(bytes)
        expect(bytesOfHex(`0x${hexOf(bytes)}`)).toEqual(bytes)
      }),
    )
  })

  it.each([
    ['0g', 'no hexadecimal digit'],
    ['abc', 'one is missing'],
  ])('hex %s is refused, and said why', (typed, words) => {
    expect(() => bytesOf(typed, 'hex')).toThrow(NotationError)
    expect(() => bytesOf(typed, 'hex')).toThrow(words)
  })

  it('text that is none is refused, not stored as something else', () => {
    expect(() => bytesOf('a\ud800b', 'text')).toThrow(NotationError)
    expect(() => bytesOf('{"a":', 'json')).toThrow('no JSON')
  })

  it('text stays as it was typed, white space and byte order mark included', () => {
    expect(shown(utf8('\ufeff a \n'), 'text')).toBe('\ufeff a \n')
    expect(bytesOf(' a ', 'text')).toEqual(utf8(' a '))
  })

  it('bytes that are no text are shown as hex only', () => {
    expect(bestNotation(Uint8Array.of(0xff))).toBe('hex')
    expect(shown(Uint8Array.of(0xff), 'text')).toBeUndefined()
    expect(shown(utf8('{'), 'json')).toBeUndefined()
  })

  it('what is invisible as text is shown as hex', () => {
    expect(bestNotation(utf8('a\u0000b'))).toBe('hex')
    expect(keyText(utf8('a\u0000b'))).toBe('0x610062')
    expect(bestNotation(utf8('a\tb\n'))).toBe('text')
    expect(bestNotation(utf8('{"a":1}'))).toBe('json')
    expect(bestNotation(utf8('{a}'))).toBe('text')
  })
})

describe('JSON', () => {
  it('is laid out and put together again without a change, whatever JavaScript would make of it', () => {
    const json = '{"n":12345678901234567890,"e":1e400,"a":[],"o":{},"a":[1,-0.50,{"\\u0041 ":"x: {,\\" ]"}],"t":true}'
    const laidOut = layOutJson(json)
    expect(compactJson(laidOut)).toBe(json)
    expect(laidOut.split('\n').slice(0, 4)).toEqual([
      '{',
      '  "n": 12345678901234567890,',
      '  "e": 1e400,',
      '  "a": [],',
    ])
  })

  it('of any value comes back (property)', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(compactJson(layOutJson(json))).toBe(compactJson(json))
        expect(JSON.parse(layOutJson(json))).toEqual(JSON.parse(json))
      }),
    )
  })

  it('is stored without its layout', () => {
    expect(bytesOf('{ "a": [ 1, 2 ] }', 'json')).toEqual(utf8('{"a":[1,2]}'))
  })
})

it('a key in a path is base64url of its bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), (key) => {
      const segment = pathSegment(key)
      expect(segment).toMatch(/^[A-Za-z0-9_-]+$/)
      expect(bytesOfBase64(segment.replaceAll('-', '+').replaceAll('_', '/'))).toEqual(key)
    }),
  )
})
