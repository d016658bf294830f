import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Line, LineSplitter } from './lines.js'

function split(chunks: Buffer[], lineBytesMax = 1024): Line[] {
  const splitter = new LineSplitter(lineBytesMax)
  return [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()]
}

const texts = (lines: Line[]): string[] => lines.map((line) => line.bytes.toString('latin1'))

describe('LineSplitter', () => {
  it('finds the same lines however the input is cut into chunks', () => {
    const input = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes.map((b) => (b < 40 ? 10 : b))))
    fc.assert(
      fc.property(input, fc.array(fc.nat(200)), (bytes, cuts) => {
        const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length]
        const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end))
        const lines = split(chunks)
        const expected = bytes.toString('latin1').split('\n')
        if (expected.at(-1) === '') expected.pop()
        expect(texts(lines)).toEqual(expected)
        expect(lines.map((line) => line.number)).toEqual(expected.map((_, i) => i + 1))
        for (const line of lines.slice(0, -1)) expect(bytes[line.end - 1]).toBe(10)
        if (lines.length > 0) expect(lines.at(-1)!.end).toBe(bytes.length)
      }),
    )
  })

  it('reports a last line without a newline, and no line behind a last newline', () => {
    expect(texts(split([Buffer.from('a\nb')]))).toEqual(['a', 'b'])
    expect(texts(split([Buffer.from('a\n')]))).toEqual(['a'])
    expect(texts(split([Buffer.from('a\n\n')]))).toEqual(['a', ''])
    expect(split([])).toEqual([])
  })

  it('a line over the limit is reported as such and the lines behind it are read', () => {
    const lines = split([Buffer.from('ok\n12345'), Buffer.from('6789'), Buffer.from('0\nnext\n')], 8)
    expect(lines.map((line) => [line.number, line.tooLong, line.bytes.toString()])).toEqual([
      [1, false, 'ok'],
      [2, true, ''],
      [3, false, 'next'],
    ])
    expect(split([Buffer.from('123456789')], 8)[0]!.tooLong).toBe(true)
    expect(split([Buffer.from('12345678')], 8)[0]!.tooLong).toBe(false)
  })

  it('counts lines and bytes from where a resumed import starts', () => {
    const lines = new LineSplitter(100, { lines: 7, offset: 70 }).push(Buffer.from('ab\ncd\n'))
    expect(lines.map((line) => [line.number, line.end])).toEqual([
      [8, 73],
      [9, 76],
    ])
  })
})
