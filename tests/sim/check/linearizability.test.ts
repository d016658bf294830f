import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkRegister, type RegisterOperation } from './linearizability.js'

const never = Number.POSITIVE_INFINITY

function write(value: string | undefined, called: number, returned: number): RegisterOperation {
  return { kind: 'write', value, called, returned }
}

function read(value: string | undefined, called: number, returned: number): RegisterOperation {
  return { kind: 'read', value, called, returned }
}

function verdict(...operations: RegisterOperation[]): string {
  return checkRegister(operations).kind
}

test('one after the other', () => {
  expect(verdict(read(undefined, 0, 1), write('a', 2, 3), read('a', 4, 5), write(undefined, 6, 7))).toBe('linearizable')
  expect(verdict(write('a', 0, 1), write('b', 2, 3), read('b', 4, 5))).toBe('linearizable')
})

test('a stale read is found', () => {
  expect(verdict(write('a', 0, 1), write('b', 2, 3), read('a', 4, 5))).toBe('violation')
  expect(verdict(write('a', 0, 1), read(undefined, 2, 3))).toBe('violation')
})

test('a deleted value that comes back is found', () => {
  expect(verdict(write('a', 0, 1), write(undefined, 2, 3), read(undefined, 4, 5), read('a', 6, 7))).toBe('violation')
})

test('two reads that see two writes in turn is found, though each alone could be right', () => {
  const writes = [write('a', 0, 100), write('b', 1, 101)]
  expect(verdict(...writes, read('a', 102, 103), read('b', 104, 105))).toBe('violation')
})

test('a value that nobody wrote is found', () => {
  expect(verdict(write('a', 0, 1), read('x', 2, 3))).toBe('violation')
})

test('a write of unknown fate may have taken effect, or not, or later', () => {
  expect(verdict(write('a', 0, never), read(undefined, 1, 2), read('a', 3, 4))).toBe('linearizable')
  expect(verdict(write('a', 0, never), read(undefined, 1, 2), read(undefined, 3, 4))).toBe('linearizable')
  expect(verdict(write('a', 0, never), read('a', 1, 2), read(undefined, 3, 4))).toBe('violation')
})

test('a write may show itself, be overtaken, and come again while it runs, but not once it has returned', () => {
  const first = write('a', 0, 10)
  const second = write('b', 3, 4)
  expect(verdict(first, read('a', 1, 2), second, read('b', 5, 6), read('a', 7, 8))).toBe('linearizable')
  expect(verdict(first, read('a', 1, 2), second, read('a', 11, 12), read('b', 13, 14))).toBe('violation')
})

test('what could not be ordered is handed back', () => {
  const stale = read('a', 4, 5)
  const result = checkRegister([write('a', 0, 1), write('b', 2, 3), stale])
  expect(result.kind === 'violation' && result.operations).toEqual([stale])
})

test('a search without an answer in time says so', () => {
  expect(checkRegister([write('a', 0, 1), read('a', 2, 3)], 0).kind).toBe('undecided')
})

/** A register that really is one: every operation gets its moment, and calls and returns around it. */
const histories = fc
  .array(
    fc.record({
      kind: fc.constantFrom('read', 'write', 'delete'),
      before: fc.nat(20),
      after: fc.nat(20),
      lost: fc.boolean(),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((plans) => {
    let value: string | undefined
    return plans.map(({ kind, before, after, lost }, i): RegisterOperation => {
      if (kind !== 'read') value = kind === 'write' ? `v${i}` : undefined
      // Moments are 4 apart; halves keep calls and returns from falling together.
      const called = 4 * i - before - 0.5 + i / 1e6
      const returned = kind !== 'read' && lost ? never : 4 * i + after + 0.5 + i / 1e6
      return { kind: kind === 'read' ? 'read' : 'write', value, called, returned }
    })
  })

test('every history of a true register is accepted', () => {
  fc.assert(
    fc.property(histories, (operations) => checkRegister(operations).kind === 'linearizable'),
    { numRuns: 500 },
  )
})

/** Tries every order there is. */
function acceptedByForce(operations: readonly RegisterOperation[]): boolean {
  const step = (left: readonly RegisterOperation[], value: string | undefined): boolean => {
    if (left.every(({ returned }) => returned === never)) return true
    const firstReturn = Math.min(...left.map(({ returned }) => returned))
    const next = left.filter(({ called }) => called < firstReturn)
    return next.some((operation) => {
      const rest = left.filter((other) => other !== operation)
      if (operation.kind === 'write') return step(rest, operation.value)
      if (operation.value === value) return step(rest, value)
      return (
        next.some(({ kind, value: shown }) => kind === 'write' && shown === operation.value) &&
        step(rest, operation.value)
      )
    })
  }
  return step(operations, undefined)
}

test('agrees with trying every order, on small histories right and wrong', () => {
  const small = fc.array(
    fc.record({
      kind: fc.constantFrom('read', 'write'),
      value: fc.nat(3),
      from: fc.nat(12),
      length: fc.integer({ min: 1, max: 6 }),
      lost: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6 },
  )
  let wrong = 0
  fc.assert(
    fc.property(small, (plans) => {
      const operations = plans.map(({ kind, value, from, length, lost }, i): RegisterOperation => {
        const isWrite = kind === 'write'
        const shown = isWrite ? `v${i}` : value === 0 ? undefined : `v${value - 1}`
        const called = from + i / 100
        return {
          kind: isWrite ? 'write' : 'read',
          value: shown,
          called,
          returned: isWrite && lost ? never : called + length,
        }
      })
      const expected = acceptedByForce(operations)
      if (!expected) wrong++
      expect(checkRegister(operations).kind).toBe(expected ? 'linearizable' : 'violation')
    }),
    { numRuns: 2_000, seed: 4 },
  )
  expect(wrong).toBeGreaterThan(100)
})
