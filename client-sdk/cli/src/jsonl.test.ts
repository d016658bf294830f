import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BadLineError, decodeLine, encodeLine } from './jsonl.js'

const decode = (text: string, first = false) => decodeLine(Buffer.from(text), first)

describe('the codec of JSON lines', () => {
  it('gives back any bytes, text or not', () => {
    const bytes = (minLength: number) =>
      fc.oneof(
        fc.uint8Array({ minLength, maxLength: 64 }),
        fc.string({ unit: 'binary', minLength, maxLength: 64 }).map((text) => Buffer.from(text)),
      )
    const expiry = fc.option(fc.integer({ min: 1, max: 2 ** 48 }), { nil: undefined })
    fc.assert(
      fc.property(bytes(1), bytes(0), expiry, (key, value, expiresAtMs) => {
        const line = encodeLine({ key, value, expiresAtMs })
        expect(line.indexOf('\n')).toBe(line.length - 1)
        const record = decode(line)!
        expect([...record.key]).toEqual([...key])
        expect([...record.value]).toEqual([...value])
        expect(record.expiresAtMs).toBe(expiresAtMs)
      }),
    )
  })

  it('writes text as text and other bytes as base64, each field by itself', () => {
    const key = Buffer.from('naïve')
    expect(encodeLine({ key, value: Buffer.from([0xff]), expiresAtMs: undefined })).toBe(
      '{"key":"naïve","valueBase64":"/w=="}\n',
    )
    expect(encodeLine({ key: Buffer.from([0xc3]), value: Buffer.from(''), expiresAtMs: 5 })).toBe(
      '{"keyBase64":"ww==","value":"","expiresAt":5}\n',
    )
  })

  it('a byte order mark is dropped at the start of the input and kept in keys and values', () => {
    expect(decode('\ufeff{"key":"a","value":"b"}', true)!.key.toString()).toBe('a')
    expect(() => decode('\ufeff{"key":"a","value":"b"}')).toThrow(BadLineError)
    const value = Buffer.from('\ufeffb')
    expect(decode(encodeLine({ key: value, value, expiresAtMs: undefined }))!.value).toEqual(value)
  })

  it('takes the line of a CRLF file, and passes over blank lines', () => {
    expect(decode('{"key":"a","value":"b"}\r')!.value.toString()).toBe('b')
    expect(decode('')).toBeUndefined()
    expect(decode(' \r')).toBeUndefined()
  })

  it('keeps keys that are names of object properties', () => {
    expect(decode('{"key":"__proto__","value":"constructor"}')!.key.toString()).toBe('__proto__')
    expect(() => decode('{"__proto__":{"key":"a"},"value":"b"}')).toThrow(BadLineError)
  })

  it.each([
    ['{"key":"a"', 'is not JSON'],
    ['["a","b"]', 'is not a JSON object'],
    ['null', 'is not a JSON object'],
    ['{"value":"b"}', 'neither "key" nor "keyBase64"'],
    ['{"key":"a"}', 'neither "value" nor "valueBase64"'],
    ['{"key":"","value":"b"}', 'empty key'],
    ['{"key":"a","keyBase64":"YQ==","value":"b"}', 'both "key" and "keyBase64"'],
    ['{"key":1,"value":"b"}', '"key" must be a string'],
    ['{"key":"a","value":null}', '"value" must be a string'],
    ['{"key":"\\ud800","value":"b"}', 'lone surrogate'],
    ['{"keyBase64":"YQ","value":"b"}', '"keyBase64" must be base64'],
    ['{"keyBase64":"Y!==","value":"b"}', '"keyBase64" must be base64'],
    ['{"key":"a","value":"b","expiresat":5}', 'unknown field "expiresat"'],
    ['{"key":"a","value":"b","expiresAt":"5"}', '"expiresAt" must be'],
    ['{"key":"a","value":"b","expiresAt":1.5}', '"expiresAt" must be'],
  ])('refuses %s and says why', (line, reason) => {
    expect(() => decode(line)).toThrow(BadLineError)
    expect(() => decode(line)).toThrow(reason)
  })

  it('refuses bytes that are not UTF-8 instead of replacing them', () => {
    expect(() => decodeLine(Buffer.from([0x7b, 0xff, 0x7d]), false)).toThrow('is not UTF-8')
  })
})
