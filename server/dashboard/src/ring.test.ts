import { expect, it } from 'vitest'
import { arcPath, arcsByOwner, ownershipOf } from './ring.js'

const owners = Uint16Array.of(0, 1, 0, 2, 1, 0, 1, 2, 2, 0, 0, 1)

it('neighbouring slots of one owner are one arc', () => {
  expect(arcsByOwner(owners, 2, 0, 3)).toEqual([
    [
      { start: 0, end: 2 },
      { start: 5, end: 6 },
    ],
    [{ start: 2, end: 4 }],
    [{ start: 4, end: 5 }],
  ])
  expect(arcsByOwner(owners, 2, 1, 3)[2]).toEqual([
    { start: 1, end: 2 },
    { start: 3, end: 4 },
  ])
})

it('a ring without slots has no arcs', () => {
  expect(arcsByOwner(new Uint16Array(0), 0, 0, 2)).toEqual([[], []])
})

it('an arc begins at the top and goes round clockwise, also the whole way', () => {
  expect(arcPath([{ start: 0, end: 4 }], 16, 100)).toBe(
    'M0.00 -100.00A100 100 0 0 1 70.71 -70.71A100 100 0 0 1 100.00 -0.00',
  )
  const whole = arcPath([{ start: 0, end: 16 }], 16, 100)
  expect(whole.match(/A/g)).toHaveLength(2)
  expect(whole).toContain('0.00 100.00')
})

it('what each member owns is counted as first owner and in all', () => {
  expect(ownershipOf(owners, 2, ['a', 'b', 'c'])).toEqual([
    { id: 'a', first: 3, copies: 5 },
    { id: 'b', first: 2, copies: 4 },
    { id: 'c', first: 1, copies: 3 },
  ])
})
