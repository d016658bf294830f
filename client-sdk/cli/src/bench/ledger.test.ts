import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WriteLedger } from './ledger.js'

const key = 3

/** Writes of one key, as a test tells them. */
class Writes {
  readonly ledger = new WriteLedger(10)
  readonly #settled = new Map<number, number>()

  begin(): number {
    const write = this.ledger.begin(key)
    this.#settled.set(write, this.ledger.settledBelow(key))
    return write
  }

  acknowledge(write: number): void {
    this.ledger.acknowledged(key, write, this.#settled.get(write)!)
  }

  get floor(): number {
    return this.ledger.floor(key)
  }
}

describe('what a read must give at least', () => {
  it('is nothing before anything was acknowledged', () => {
    const writes = new Writes()
    expect(writes.floor).toBe(0)
    writes.begin()
    expect(writes.floor).toBe(0)
  })

  it('is the last of writes that follow each other', () => {
    const writes = new Writes()
    for (let i = 1; i <= 5; i++) {
      writes.acknowledge(writes.begin())
      expect(writes.floor).toBe(i)
    }
  })

  it('is any of two writes that overlapped, whichever was acknowledged last', () => {
    const writes = new Writes()
    writes.acknowledge(writes.begin())
    const [second, third] = [writes.begin(), writes.begin()]
    writes.acknowledge(third)
    writes.acknowledge(second)
    expect(writes.floor).toBe(2)
    writes.acknowledge(writes.begin())
    expect(writes.floor).toBe(4)
  })

  it('may be a write of unknown outcome for ever, and what came before it is still superseded', () => {
    const writes = new Writes()
    writes.acknowledge(writes.begin())
    writes.begin()
    for (let i = 0; i < 5; i++) writes.acknowledge(writes.begin())
    expect(writes.floor).toBe(2)
  })

  it('is not held back by a write that was certainly not applied', () => {
    const writes = new Writes()
    writes.ledger.withdrawn(key, writes.begin())
    writes.acknowledge(writes.begin())
    expect(writes.floor).toBe(2)
  })

  it('gets on although there is never a moment without a write', () => {
    const writes = new Writes()
    let running = writes.begin()
    for (let i = 0; i < 100; i++) {
      const next = writes.begin()
      writes.acknowledge(running)
      running = next
    }
    expect(writes.floor).toBeGreaterThan(95)
  })
})

it('keys beyond the first ones are taken in, and leave the others as they are', () => {
  const ledger = new WriteLedger(1)
  ledger.acknowledged(0, ledger.begin(0), ledger.settledBelow(0))
  expect(ledger.begin(5000)).toBe(1)
  expect([ledger.issued(0), ledger.floor(0), ledger.issued(5000), ledger.issued(99_999)]).toEqual([1, 1, 1, 0])
})

it('whatever the order of beginnings and ends, no write that a read may give counts as superseded', () => {
  const step = fc.record({
    begin: fc.boolean(),
    which: fc.nat(),
    outcome: fc.constantFrom('ok', 'ok', 'ok', 'withdrawn'),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const writes = new Writes()
      /** By number: when it began and ended, counted in steps. */
      const began: number[] = [0]
      const ended: number[] = [0]
      const running: number[] = []
      let supersededBelow = 0
      for (const [now, { begin, which, outcome }] of steps.entries()) {
        if (begin || running.length === 0) {
          const write = writes.begin()
          began[write] = now
          ended[write] = Number.POSITIVE_INFINITY
          running.push(write)
          continue
        }
        const [write] = running.splice(which % running.length, 1)
        ended[write!] = now
        if (outcome === 'withdrawn') writes.ledger.withdrawn(key, write!)
        else {
          writes.acknowledge(write!)
          // All that had ended before this one began are superseded; below the first that had not, all.
          let first = 1
          while (ended[first]! < began[write!]!) first++
          supersededBelow = Math.max(supersededBelow, first)
        }
        expect(writes.floor).toBeLessThanOrEqual(supersededBelow)
      }
    }),
  )
})
