import { expect, test } from 'vitest'
import { Flood, type FloodClient, type FloodClock } from './flood.js'

/** Time that goes on when the flood waits for it. */
class SteppedClock implements FloodClock {
  ms = 0
  /** How long the next millisecond takes. */
  stallMs = 0

  now(): number {
    return this.ms
  }

  soon(callback: () => void): void {
    setImmediate(() => {
      this.ms += 1 + this.stallMs
      this.stallMs = 0
      callback()
    })
  }

  nextTurn(callback: () => void): void {
    setImmediate(callback)
  }
}

const settings = { keys: 10, valueBytes: 16, readShare: 0.5, seed: '1' }

function clientOf(answer: () => Promise<undefined>): FloodClient {
  return { getBytes: answer, put: answer as unknown as FloodClient['put'] }
}

function failing(error: object): FloodClient {
  return clientOf(() => Promise.reject(Object.assign(new Error('failed'), error)))
}

const answering = clientOf(() => Promise.resolve(undefined))

test('a rate is kept, whatever becomes of what is sent', async () => {
  const done = await new Flood([answering], settings, new SteppedClock()).run({ ratePerSecond: 5000, seconds: 0.1 })
  expect(done).toMatchObject({ due: 495, done: 495, refusedHere: 0, notStarted: 0, failed: {} })
  const never = clientOf(() => new Promise((resolve) => setImmediate(() => setImmediate(() => resolve(undefined)))))
  expect((await new Flood([never], settings, new SteppedClock()).run({ ratePerSecond: 5000, seconds: 0.1 })).due).toBe(
    495,
  )
})

test('without a rate each client has as much to do as it accepts, and no more', async () => {
  let most = 0
  const clients = [0, 1].map(() => {
    let running = 0
    return clientOf(async () => {
      most = Math.max(most, ++running)
      await new Promise(setImmediate)
      running--
      return undefined
    })
  })
  const report = await new Flood(clients, settings, new SteppedClock()).run({ inFlight: 4, seconds: 0.05 })
  expect(most).toBe(4)
  expect(report.done).toBe(report.due)
  expect(report.done).toBeGreaterThan(100)
})

test('it is told who refused, and what else went wrong', async () => {
  const clients = [
    failing({ code: 'overloaded' }),
    failing({ code: 'overloaded', node: '127.0.0.1:1' }),
    failing({ code: 'timeout', node: '127.0.0.1:1' }),
  ]
  const report = await new Flood(clients, settings, new SteppedClock()).run({ ratePerSecond: 3000, seconds: 0.101 })
  expect(report).toMatchObject({ done: 0, refusedHere: 100, refusedByNode: 100, failed: { timeout: 100 } })
  expect(report.intervals.reduce((sum, { failed }) => sum + failed, 0)).toBe(300)
})

test('what fell due while the process stood still is counted, and not asked for all at once', async () => {
  const clock = new SteppedClock()
  clock.stallMs = 1000
  const report = await new Flood([answering], settings, clock).run({ ratePerSecond: 1000, seconds: 2 })
  expect(report.notStarted).toBe(901)
  expect(report.done + report.notStarted).toBe(report.due)
})

test('the time of a failure counts from when the operation was sent', async () => {
  const clock = new SteppedClock()
  const late = clientOf(async () => {
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
    throw Object.assign(new Error('late'), { code: 'timeout' })
  })
  const report = await new Flood([late], settings, clock).run({ ratePerSecond: 1000, seconds: 0.1 })
  expect(report.slowestErrorMs).toBeGreaterThan(5)
})

test('every key is there before the flood begins', async () => {
  const written = new Set<unknown>()
  const put = ((key: unknown) => Promise.resolve(void written.add(key))) as unknown as FloodClient['put']
  await new Flood([{ ...answering, put }], settings, new SteppedClock()).load(256)
  expect([...written].sort()).toEqual(Array.from({ length: 10 }, (_, key) => `flood:000000000${key}`))
})

test('while keys are loaded no client is given more than it accepts', async () => {
  let [pending, most] = [0, 0]
  const put = (async () => {
    most = Math.max(most, ++pending)
    await Promise.resolve()
    pending--
  }) as unknown as FloodClient['put']
  await new Flood([{ ...answering, put }], settings, new SteppedClock()).load(3)
  expect(most).toBe(3)
})
