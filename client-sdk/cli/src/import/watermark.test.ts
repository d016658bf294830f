import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Watermark } from './watermark.js'

describe('Watermark', () => {
  it('never passes a line that is not settled, and reaches the end once all are', () => {
    const order = fc.nat(40).chain((n) =>
      fc.shuffledSubarray(
        Array.from({ length: n }, (_, i) => i + 1),
        { minLength: n },
      ),
    )
    fc.assert(
      fc.property(order, fc.nat(100), (lines, start) => {
        const watermark = new Watermark(40, { lines: start, offset: start * 10 })
        const settled = new Set<number>()
        for (const line of lines) {
          watermark.settle(start + line, (start + line) * 10)
          settled.add(line)
          let expected = 0
          while (settled.has(expected + 1)) expected += 1
          expect(watermark.position).toEqual({ lines: start + expected, offset: (start + expected) * 10 })
        }
        expect(watermark.position.lines).toBe(start + lines.length)
      }),
    )
  })

  it('has room for one window beyond the first open line', () => {
    const watermark = new Watermark(4)
    expect([4, 5].map((line) => watermark.hasRoomFor(line))).toEqual([true, false])
    watermark.settle(2, 20)
    expect(watermark.hasRoomFor(5)).toBe(false)
    watermark.settle(1, 10)
    expect([6, 7].map((line) => watermark.hasRoomFor(line))).toEqual([true, false])
  })
})
