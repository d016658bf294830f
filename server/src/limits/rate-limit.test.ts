import { KvError } from '@quorumkv/internal/base'
import { describe, expect, it } from 'vitest'
import { RateLimit } from './rate-limit.js'

function limitOf(operationsPerSecond: number, bytesPerSecond: number): { rate: RateLimit; clock: { nowMs: number } } {
  const clock = { nowMs: 1_000 }
  const rate = new RateLimit('app', { operationsPerSecond, bytesPerSecond }, { monotonicMs: () => clock.nowMs })
  return { rate, clock }
}

/** How long to wait, as the refusal says; 0: it was let through. */
function waitOf(rate: RateLimit, bytes: number = 0): number {
  try {
    rate.admit(bytes)
    return 0
  } catch (error) {
    if (!(error instanceof KvError)) throw error
    expect([error.code, error.outcome]).toEqual(['overloaded', 'not-applied'])
    expect(error.message).toContain(`come again after ${error.retryAfterMs} ms`)
    return error.retryAfterMs!
  }
}

describe('a principal', () => {
  it('makes as many operations in a second as it may, and one more is refused with the time to wait', () => {
    const { rate, clock } = limitOf(10, 0)
    for (let i = 0; i < 10; i++) expect(waitOf(rate)).toBe(0)
    expect(waitOf(rate)).toBe(100)
    clock.nowMs += 99
    expect(waitOf(rate)).toBe(1)
    clock.nowMs += 1
    expect([waitOf(rate), waitOf(rate), rate.refused]).toEqual([0, 100, 3])
  })

  it('that has been quiet for long has one second in hand and no more', () => {
    const { rate, clock } = limitOf(10, 0)
    clock.nowMs += 3_600_000
    let made = 0
    while (waitOf(rate) === 0) made++
    expect(made).toBe(10)
  })

  it('sends as many bytes as it may, to the byte', () => {
    const { rate } = limitOf(0, 1_000)
    expect([waitOf(rate, 999), waitOf(rate, 2), waitOf(rate, 1), waitOf(rate, 1)]).toEqual([0, 1, 0, 1])
  })

  it('may do what is larger than a second of it, and pays for that afterwards', () => {
    const { rate, clock } = limitOf(0, 1_000)
    expect([waitOf(rate, 5_000), waitOf(rate, 1)]).toEqual([0, 4_001])
    clock.nowMs += 4_000
    expect(waitOf(rate, 1)).toBe(1)
    clock.nowMs += 1
    expect(waitOf(rate, 1)).toBe(0)
  })

  it('pays for what it has read before it reads more', () => {
    const { rate, clock } = limitOf(0, 1_000)
    expect(waitOf(rate, 1)).toBe(0)
    rate.charge(2_999)
    expect(waitOf(rate, 1)).toBe(2_001)
    clock.nowMs += 2_001
    expect(waitOf(rate, 1)).toBe(0)
  })

  it('gains nothing by a clock that goes back', () => {
    const { rate, clock } = limitOf(1, 0)
    expect(waitOf(rate)).toBe(0)
    clock.nowMs -= 500
    expect(waitOf(rate)).toBe(1_000)
    clock.nowMs += 500
    expect(waitOf(rate)).toBe(1_000)
  })

  it('that is refused for its bytes has not spent an operation', () => {
    const { rate, clock } = limitOf(2, 1_000)
    expect([waitOf(rate, 1_000), waitOf(rate, 500)]).toEqual([0, 500])
    clock.nowMs += 500
    expect([waitOf(rate, 500), waitOf(rate, 0)]).toEqual([0, 1])
  })
})
