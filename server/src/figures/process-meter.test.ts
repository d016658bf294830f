import { expect, test } from 'vitest'
import { eventually, testClock } from '../calls/services.test-support.js'
import { ProcessMeter } from './process-meter.js'

test('an event loop that is blocked shows as delay, and work as processor time', async () => {
  const meter = new ProcessMeter(testClock)
  try {
    await eventually('a first sample', () => meter.read().eventLoopDelay.count > 0)
    const endMs = performance.now() + 120
    while (performance.now() < endMs) Math.sqrt(endMs)
    await eventually('a late sample', () => meter.read().eventLoopDelay.maxUs >= 90_000)
    const { cpu, cpuSeconds, rssBytes, heapUsedBytes, heapTotalBytes } = meter.read()
    expect(cpu).toBeGreaterThan(0.05)
    expect(cpuSeconds).toBeGreaterThan(0.1)
    expect(rssBytes).toBeGreaterThan(heapUsedBytes)
    expect(heapTotalBytes).toBeGreaterThan(0)
  } finally {
    meter.stop()
  }
})
