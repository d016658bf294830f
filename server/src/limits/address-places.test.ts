import { describe, expect, it } from 'vitest'
import { AddressPlaces } from './address-places.js'

interface Caller {
  readonly prove: () => boolean
  readonly gone: string[]
}

function enter(unproved: AddressPlaces, peer: string): Caller {
  const gone: string[] = []
  return { gone, prove: unproved.enter(peer, (why) => gone.push(why)) }
}

describe('callers who have to prove that they are nodes', () => {
  it('make room, the oldest of an address for the next of it, and others stay', () => {
    const unproved = new AddressPlaces({ max: 10, perAddressMax: 3 })
    const node = enter(unproved, '10.0.0.7:4000')
    const strangers = Array.from({ length: 20 }, (_, i) => enter(unproved, `10.0.0.9:${5_000 + i}`))
    expect(unproved.size).toBe(4)
    expect(strangers.map(({ gone }) => gone.length)).toEqual([...Array<number>(17).fill(1), 0, 0, 0])
    expect(strangers[0]!.gone[0]).toMatch(/3 others of its address have come after it/)
    expect(node.gone).toEqual([])
    expect(node.prove()).toBe(true)
    expect(unproved.size).toBe(3)
  })

  it('count as one address where the first 64 bits of IPv6 are the same', () => {
    const unproved = new AddressPlaces({ max: 10, perAddressMax: 2 })
    const callers = ['2001:db8::1:50051', '2001:db8::2:50051', '2001:db8::3:50051', '2001:db8:0:1::1:50051']
    expect(callers.map((peer) => enter(unproved, peer)).map(({ gone }) => gone.length)).toEqual([1, 0, 0, 0])
  })

  it('make room in the largest address where there is none for a new one', () => {
    const unproved = new AddressPlaces({ max: 6, perAddressMax: 4 })
    const few = ['a:1', 'b:1'].map((peer) => enter(unproved, peer))
    const many = Array.from({ length: 4 }, (_, i) => enter(unproved, `c:${i}`))
    const node = enter(unproved, 'd:1')
    expect([...few, ...many, node].map(({ gone }) => gone.length)).toEqual([0, 0, 1, 0, 0, 0, 0])
    expect([unproved.size, node.prove(), node.prove()]).toEqual([6, true, false])
  })

  it('are forgotten: who was sent away gives nothing back', () => {
    const unproved = new AddressPlaces({ max: 2, perAddressMax: 1 })
    const [first, second] = [enter(unproved, 'a:1'), enter(unproved, 'a:2')]
    expect([first.prove(), unproved.size, second.prove(), unproved.size]).toEqual([false, 1, true, 0])
  })
})
