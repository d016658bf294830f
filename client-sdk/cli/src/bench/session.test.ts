import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { UsageError } from '../exit.js'
import { FakeClock, MapTarget } from './fakes.test-support.js'
import { BenchSession, type LivePhase } from './session.js'
import type { DataSettings, PhaseSettings } from './settings.js'
import { keyName } from './values.js'
import { parseWorkload } from './workload.js'

const data: DataSettings = { keys: 50, valueBytes: 100, verify: true, seed: '1', clients: 1 }

function phase(workload: string, changes: Partial<PhaseSettings> = {}): PhaseSettings {
  const times = { warmUpMs: 0, durationMs: 20 }
  return { workload: parseWorkload(workload, 'w'), inFlight: 4, loop: { kind: 'closed' }, ...times, ...changes }
}

/** A session whose every reading of the clock takes 10 µs: a phase of 20 ms has some thousand operations. */
function open(target: MapTarget, changes: Partial<DataSettings> = {}, signal = new AbortController().signal) {
  return BenchSession.open(target, { ...data, ...changes }, { signal, clock: new FakeClock(0.01) })
}

describe('a session', () => {
  it('loads every key once, and then finds them right', async () => {
    const target = new MapTarget()
    await using session = await open(target, { clients: 3 })
    expect(target.connected).toBe(3)
    expect(await session.load()).toMatchObject({ name: 'load', operations: 50, errors: { count: 0 } })
    expect(target.data.size).toBe(50)
    const report = await session.measure(phase('ycsb-f', { warmUpMs: 5 }))
    expect(report).toMatchObject({
      name: 'ycsb-f',
      distribution: 'zipfian',
      clients: 3,
      inFlight: 4,
      errors: { count: 0 },
    })
    expect(report.operations).toBeGreaterThan(500)
    expect(report.latency.read!.operations + report.latency.readModifyWrite!.operations).toBe(report.operations)
    expect(report.seconds).toBeCloseTo(0.02, 3)
    expect(report.intervals.reduce((sum, { operations }) => sum + operations, 0)).toBe(report.operations)
    await session.close()
    expect(target.closed).toBe(3)
  })

  it('has inserts read by those who draw the latest keys', async () => {
    const target = new MapTarget()
    await using session = await open(target)
    await session.load()
    const read = new Set<string>()
    target.readInstead = (key) => {
      read.add(key)
      return target.data.get(key)
    }
    const report = await session.measure(phase('ycsb-d'))
    expect(report.errors.count).toBe(0)
    expect([...read].filter((key) => key >= keyName(50)).length).toBeGreaterThan(10)
    expect(target.data.size).toBe(50 + report.latency.insert!.operations)
  })

  it('finds a wrong value: that of another key', async () => {
    const target = new MapTarget()
    await using session = await open(target)
    await session.load()
    target.readInstead = (key) => target.data.get(key === keyName(7) ? keyName(8) : key)
    const { errors } = await session.measure(phase('read-only'))
    expect(Object.keys(errors.byCode)).toEqual(['wrong-value'])
    expect(errors.examples[0]).toBe('wrong-value: bench:0000000007 has the value of bench:0000000008')
  })

  it('finds a value that no write has made: one that is numbered beyond the last', async () => {
    const target = new MapTarget()
    await using session = await open(target, { keys: 1 })
    await session.load()
    target.readInstead = (key) => {
      const value = Buffer.from(target.data.get(key)!)
      value.writeUInt32LE(99, 8)
      value.writeUInt32LE(crc32(value.subarray(0, 96)), 96)
      return value
    }
    const { errors } = await session.measure(phase('read-only'))
    expect(errors.examples[0]).toBe('wrong-value: bench:0000000000 has write 99; 1 were made')
  })

  it('finds a stale value: what was acknowledged before the read began was lost', async () => {
    const target = new MapTarget()
    await using session = await open(target, { keys: 5 })
    await session.load()
    const loaded = new Map(target.data)
    await session.measure(phase('write-only'))
    target.readInstead = (key) => loaded.get(key)
    const { errors, operations } = await session.measure(phase('read-only'))
    expect(Object.keys(errors.byCode)).toEqual(['stale-value'])
    expect(errors.examples[0]).toMatch(/has write 1; write \d+ or a later one was due/)
    expect(operations).toBe(0)
  })

  it('only counts stale values where the store promises no better', async () => {
    const target = new MapTarget()
    target.reads = 'any'
    await using session = await open(target, { keys: 5 })
    await session.load()
    const loaded = new Map(target.data)
    await session.measure(phase('write-only'))
    target.readInstead = (key) => loaded.get(key)
    const report = await session.measure(phase('read-only'))
    expect(report).toMatchObject({ errors: { count: 0 }, staleReads: report.operations })
  })

  it('finds a wrong value in a scan: that of another key, and a key that nobody has written', async () => {
    const target = new MapTarget()
    await using session = await open(target)
    await session.load()
    expect((await session.measure(phase('ycsb-e'))).errors.count).toBe(0)
    target.readInstead = (key) => target.data.get(key === keyName(0) ? keyName(8) : key)
    const { errors } = await session.measure(phase('ycsb-e'))
    expect(errors.examples[0]).toBe('wrong-value: bench:0000000000 has the value of bench:0000000008')
    target.readInstead = undefined
    target.data.clear()
    target.data.set('bench:9', Buffer.alloc(100))
    expect((await session.measure(phase('ycsb-e'))).errors.examples[0]).toContain('a scan gave "bench:9"')
  })

  it('has the errors of the warm-up among all, and in no interval of the measurement', async () => {
    const target = new MapTarget()
    await using session = await open(target)
    await session.load()
    let failures = 3
    target.onWrite = () => {
      if (failures-- > 0) throw new Error('not yet')
    }
    const { errors, intervals } = await session.measure(phase('write-only', { warmUpMs: 5 }))
    expect(errors.count).toBe(3)
    expect(intervals.map((interval) => interval.errors)).toEqual(intervals.map(() => 0))
    expect(intervals.length).toBeGreaterThan(0)
  })

  it('finds a key that is missing, verified or not', async () => {
    for (const verify of [true, false]) {
      const target = new MapTarget()
      await using session = await open(target, { verify })
      await session.load()
      target.data.delete(keyName(7))
      const { errors } = await session.measure(phase('read-only'))
      expect(errors.examples[0]).toBe('missing-value: bench:0000000007 is missing')
    }
  })

  it.each([
    ['unknown', {}],
    ['not-applied', { 'stale-value': expect.any(Number) }],
  ])(
    'a write that failed with outcome %s: what is to be thought of it when it is read later',
    async (outcome, verdict) => {
      const target = new MapTarget()
      await using session = await open(target, { keys: 1 })
      await session.load()
      let refused: Buffer | undefined
      target.onWrite = (_key, value) => {
        refused = value
        throw Object.assign(new Error('no quorum'), { code: 'unavailable', outcome })
      }
      await session.measure(phase('write-only', { inFlight: 1, errorsMax: 1 }))
      // Before anything else is written it is nothing to wonder at that the key has its old value.
      expect((await session.measure(phase('read-only'))).errors.count).toBe(0)
      target.onWrite = undefined
      await session.measure(phase('write-only', { inFlight: 1 }))
      expect((await session.measure(phase('read-only'))).errors.count).toBe(0)
      target.readInstead = () => refused
      expect((await session.measure(phase('read-only'))).errors.byCode).toEqual(verdict)
    },
  )

  it('does not judge what an earlier run has left, until this one has written', async () => {
    const target = new MapTarget()
    const before = await open(target)
    await before.load()
    await using session = await open(target)
    expect((await session.measure(phase('mixed'))).errors.count).toBe(0)
    const old = new MapTarget()
    const other = await open(old)
    await other.load()
    target.readInstead = (key) => old.data.get(key)
    expect((await session.measure(phase('read-only'))).errors.examples[0]).toMatch(/has a value of an earlier run/)
  })

  it('ends with the phase that was interrupted, and keeps what it has measured', async () => {
    const stop = new AbortController()
    const target = new MapTarget()
    await using session = await open(target, { keys: 1000 }, stop.signal)
    let writes = 0
    target.onWrite = () => {
      if (++writes === 300) stop.abort()
    }
    const loaded = await session.load()
    expect(loaded.operations).toBeGreaterThanOrEqual(300)
    expect(loaded.operations).toBeLessThan(1000)
  })

  it('rejects with why the store has failed for good', async () => {
    const failed = new AbortController()
    const target = Object.assign(new MapTarget(), { failed: failed.signal })
    await using session = await open(target)
    target.onWrite = () => failed.abort(new Error('n2 ended with SIGKILL'))
    await expect(session.load()).rejects.toThrow('n2 ended with SIGKILL')
  })

  it('rejects with why the store has failed, and not with what failed because of that', async () => {
    const failed = new AbortController()
    const serverUsage = async () => {
      if (failed.signal.aborted) throw new Error('cannot read what n2 has used')
      return []
    }
    const target = Object.assign(new MapTarget(), { failed: failed.signal, serverUsage })
    await using session = await open(target)
    target.onWrite = () => failed.abort(new Error('n2 ended with SIGKILL'))
    await expect(session.load()).rejects.toThrow('n2 ended with SIGKILL')
  })

  it('refuses to scan what cannot be scanned, and does not count that as measured', async () => {
    const target = Object.assign(new MapTarget(), { scan: undefined })
    await using session = await open(target as unknown as MapTarget)
    await expect(session.measure(phase('ycsb-e'))).rejects.toThrow('a map cannot scan')
  })

  it('tells how far it is while a phase runs', async () => {
    const seen: string[] = []
    const clock = new FakeClock(0.01)
    const onPhase = (live: LivePhase) => {
      seen.push(live.name)
      return () => seen.push(`${live.name} ended`)
    }
    const target = new MapTarget()
    await using session = await BenchSession.open(target, data, {
      signal: new AbortController().signal,
      clock,
      onPhase,
    })
    await session.load()
    await session.measure(phase('mixed'))
    expect(seen).toEqual(['load', 'load ended', 'mixed', 'mixed ended'])
  })

  it.each<[string, Partial<DataSettings>]>([
    ['keys', { keys: 0 }],
    ['keys', { keys: 1.5 }],
    ['valueBytes', { valueBytes: 15 }],
    ['valueBytes', { valueBytes: 1_048_577 }],
    ['clients', { clients: 0 }],
  ])('refuses wrong data by name: %s %j', async (field, changes) => {
    const error = await open(new MapTarget(), changes).then(String, (cause: unknown) => cause)
    expect(error).toBeInstanceOf(UsageError)
    expect(error).toMatchObject({ field })
  })

  it.each<[string, Partial<PhaseSettings>]>([
    ['inFlight', { inFlight: 0 }],
    ['inFlight', { inFlight: 16_385 }],
    ['durationMs', { durationMs: 0 }],
    ['warmUpMs', { warmUpMs: -1 }],
    ['ratePerSecond', { loop: { kind: 'open', ratePerSecond: 0, arrivals: 'fixed' } }],
    ['ratePerSecond', { loop: { kind: 'open', ratePerSecond: Number.NaN, arrivals: 'fixed' } }],
  ])('refuses a wrong phase by name: %s %j', async (field, changes) => {
    await using session = await open(new MapTarget())
    await expect(session.measure(phase('mixed', changes))).rejects.toMatchObject({ name: 'UsageError', field })
  })
})
