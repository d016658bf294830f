import { describe, expect, it } from 'vitest'
import { formatDuration, parseDuration } from './duration.js'
import { UsageError } from './exit.js'

describe('parseDuration', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5h', 5_400_000],
    ['1h30m', 5_400_000],
    ['2d', 172_800_000],
  ])('%s is %d ms', (text, ms) => expect(parseDuration(text, '--ttl')).toBe(ms))

  it.each(['', '30', '-5s', '0s', '5 s', '5x', '1e3s', 's', '0.1ms', '99999999999999999d'])(
    'refuses %j and names the option',
    (text) => {
      expect(() => parseDuration(text, '--ttl')).toThrow(UsageError)
      expect(() => parseDuration(text, '--ttl')).toThrow(/--ttl/)
    },
  )

  it('takes a bare number as milliseconds only where that was asked for', () => {
    expect(parseDuration('250', '--timeout', true)).toBe(250)
    expect(() => parseDuration('250', '--ttl')).toThrow(UsageError)
    expect(() => parseDuration('0', '--timeout', true)).toThrow(UsageError)
  })
})

describe('formatDuration', () => {
  it.each([
    [12, '12 ms'],
    [2100, '2.1 s'],
    [59_990, '1m 0s'],
    [200_000, '3m 20s'],
    [3_599_600, '1h 0m'],
    [7_260_000, '2h 1m'],
    [93_600_000, '1d 2h'],
  ])('%d ms reads %s', (ms, text) => expect(formatDuration(ms)).toBe(text))
})
