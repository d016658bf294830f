import { describe, expect, it } from 'vitest'
import { type Holder, Shares } from './shares.js'

function holders(...addresses: readonly string[]): Holder[] {
  return addresses.map((address) => ({ address }))
}

describe('shares', () => {
  it('are those of addresses, and the largest is the one with one byte more', () => {
    const shares = new Shares<Holder>()
    const [a, b1, b2] = holders('a', 'b', 'b') as [Holder, Holder, Holder]
    expect([shares.largest, shares.bytes]).toEqual([undefined, 0])
    shares.set(a, 10)
    shares.set(b1, 5)
    shares.set(b2, 5)
    expect([shares.largest, shares.bytes, shares.bytesOf('b')]).toEqual(['a', 20, 10])
    shares.set(b2, 6)
    expect([shares.largest, shares.bytes]).toEqual(['b', 21])
    shares.set(b1, 3)
    expect([shares.largest, shares.bytes]).toEqual(['a', 19])
  })

  it('have those first that have held something for longest, and forget who holds nothing', () => {
    const shares = new Shares<Holder>()
    const [one, two, three] = holders('a', 'a', 'a') as [Holder, Holder, Holder]
    for (const holder of [one, two, three]) shares.set(holder, 1)
    shares.set(one, 2)
    expect([...shares.holdersOf('a')]).toEqual([one, two, three])
    shares.set(one, 0)
    shares.set(one, 1)
    expect([...shares.holdersOf('a')].map((holder) => [one, two, three].indexOf(holder))).toEqual([1, 2, 0])
    for (const holder of [one, two, three, one]) shares.set(holder, 0)
    expect([[...shares.holdersOf('a')], shares.bytes, shares.largest]).toEqual([[], 0, undefined])
  })
})
