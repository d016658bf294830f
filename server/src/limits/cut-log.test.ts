import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type LogLine, recordingLog } from '../calls/services.test-support.js'
import { cutLog } from './cut-log.js'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

it('tells the first who is cut off, and of a flood only how many there were, by reason', () => {
  const lines: LogLine[] = []
  const cut = cutLog(recordingLog(lines), 'gRPC', 'a call was cut off')
  for (let i = 0; i < 500; i++) cut('it is slow')
  cut('it is deaf')
  expect(lines.map(({ facts }) => facts)).toEqual([
    { protocol: 'gRPC', why: 'it is slow' },
    { protocol: 'gRPC', why: 'it is deaf' },
  ])
  vi.advanceTimersByTime(9_999)
  cut('it is slow')
  expect(lines).toHaveLength(2)
  vi.advanceTimersByTime(1)
  cut('it is slow')
  cut('it is slow')
  expect(lines.slice(2).map(({ facts }) => facts)).toEqual([{ protocol: 'gRPC', why: 'it is slow', before: 500 }])
})
