import { describe, expect, it } from 'vitest'
import { FakeClient, FakeTiming, fault } from '../fakes.test-support.js'
import { limits } from '../limits.js'
import { type Line, LineSplitter } from '../lines.js'
import { BadInputError, Importer, type ImporterOptions, PutFailedError } from './importer.js'

const record = (key: string, value: string, more = {}): string => `${JSON.stringify({ key, value, ...more })}\n`

async function* batches(text: string, from = { lines: 0, offset: 0 }): AsyncGenerator<Line[]> {
  const splitter = new LineSplitter(limits.lineBytesMax, from)
  yield splitter.push(Buffer.from(text).subarray(from.offset))
  yield splitter.end()
}

function importer(client: FakeClient, options: Partial<ImporterOptions> = {}): Importer {
  const given = { inFlightMax: 16, recordTimeoutMs: 30_000, giveUpAfterMs: 300_000, skipBad: false, ...options }
  return new Importer({ client, timing: client.timing, ...given })
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('an import', () => {
  it('stores every record and comes to the end of the input', async () => {
    const client = new FakeClient()
    const text = Array.from({ length: 500 }, (_, i) => record(`k${i}`, `v${i}`)).join('')
    const run = importer(client)
    await run.run(batches(text))
    expect(client.data.size).toBe(500)
    expect(client.text('k499')).toBe('v499')
    expect(run.counts).toMatchObject({ acknowledged: 500, acknowledgedBytes: text.length, inFlight: 0, retries: 0 })
    expect(run.position).toEqual({ lines: 500, offset: text.length })
  })

  it('of one key only one put is on its way, in the order of the lines, also while puts fail and are repeated', async () => {
    const client = new FakeClient()
    client.faults.set('same', [fault('unavailable'), fault('timeout', 'unknown'), fault('overloaded')])
    const lines = Array.from({ length: 60 }, (_, i) => record(i % 3 === 0 ? 'same' : `k${i}`, `v${i}`))
    // The same bytes, given in the other form.
    lines.push(`${JSON.stringify({ keyBase64: Buffer.from('same').toString('base64'), value: 'last' })}\n`)
    const run = importer(client)
    await run.run(batches(lines.join('')))
    const values = client.puts.filter((put) => put.key === 'same').map((put) => put.value)
    expect(values).toEqual([...['v0', 'v0', 'v0'], ...Array.from({ length: 20 }, (_, i) => `v${i * 3}`), 'last'])
    expect(client.text('same')).toBe('last')
    expect(run.counts).toMatchObject({ acknowledged: 61, retries: 3, retrying: 0 })
  })

  it('never has more on its way than was asked for, and reads no further meanwhile', async () => {
    const client = new FakeClient()
    client.holding = true
    let read = 0
    async function* endless(): AsyncGenerator<Line[]> {
      const splitter = new LineSplitter(1000)
      for (;;) yield splitter.push(Buffer.from(record(`k${read++}`, 'v')))
    }
    const run = importer(client, { inFlightMax: 8 })
    const running = run.run(endless())
    for (let i = 0; i < 50; i++) await turn()
    expect(client.inFlight).toBe(8)
    expect(read).toBe(9)
    run.stop()
    client.release()
    await running
    expect(client.inFlightMost).toBe(8)
    expect(run.counts.acknowledged).toBe(8)
  })

  it('bounds the bytes on their way', async () => {
    const client = new FakeClient()
    const value = 'x'.repeat(limits.importInFlightBytesMax / 4)
    const one = JSON.stringify({ key: 'k', value })
    const lines: Line[] = Array.from({ length: 7 }, (_, i) => {
      const bytes = Buffer.from(one.replace('"k"', `"${i}"`))
      return { number: i + 1, bytes, end: (i + 1) * (one.length + 1), tooLong: false }
    })
    async function* source(): AsyncGenerator<Line[]> {
      yield lines
    }
    await importer(client).run(source())
    expect(client.inFlightMost).toBe(3)
    expect(client.bytesInFlightMost).toBeLessThanOrEqual(limits.importInFlightBytesMax)
  })

  it('does not read ahead without end while one record is not acknowledged', async () => {
    const client = new FakeClient()
    client.faults.set('stuck', [fault('unavailable')])
    const timing = client.timing
    let wake: (() => void) | undefined
    timing.sleep = () => new Promise((resolve) => (wake = resolve))
    let read = 0
    async function* source(): AsyncGenerator<Line[]> {
      const splitter = new LineSplitter(1000)
      yield splitter.push(Buffer.from(record('stuck', 'v')))
      while (read < limits.importAheadLinesMax + 1000) {
        read += 1000
        yield splitter.push(Buffer.from('\n'.repeat(1000)))
      }
    }
    const run = importer(client)
    const running = run.run(source())
    while (read < limits.importAheadLinesMax) await turn()
    for (let i = 0; i < 20; i++) await turn()
    expect(run.position.lines).toBe(0)
    expect(read).toBeLessThanOrEqual(limits.importAheadLinesMax + 1000)
    wake!()
    await running
    expect(run.position.lines).toBe(read + 1)
  })
})

describe('a record that fails', () => {
  it('is tried again until it is acknowledged, with growing pauses', async () => {
    const client = new FakeClient()
    client.faults.set(
      'k',
      Array.from({ length: 8 }, () => fault('unavailable')),
    )
    const run = importer(client)
    await run.run(batches(record('k', 'v')))
    expect(client.text('k')).toBe('v')
    expect(client.timing.sleeps).toEqual([50, 100, 200, 400, 800, 1500, 1500, 1500])
  })

  it('ends the import when its time is up, and leaves the position before it', async () => {
    const client = new FakeClient()
    client.faults.set(
      'b',
      Array.from({ length: 1000 }, () => fault('unavailable')),
    )
    const run = importer(client, { giveUpAfterMs: 20_000 })
    const text = [record('a', '1'), record('b', '2'), record('c', '3')].join('')
    const error = await run.run(batches(text)).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(PutFailedError)
    expect((error as PutFailedError).line).toBe(2)
    expect(run.position.lines).toBe(1)
    expect(client.text('c')).toBe('3')
    expect(client.puts.at(-1)!.options.timeoutMs).toBeLessThan(20_000)
  })

  it('ends the import at once where trying again is of no use', async () => {
    const client = new FakeClient()
    client.faults.set('b', [fault('permission-denied')])
    const error = await importer(client)
      .run(batches(record('b', '2')))
      .catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(PutFailedError)
    expect(client.puts.length).toBe(1)
  })

  it('one that the cluster will never take is a bad line', async () => {
    const client = new FakeClient()
    client.faults.set('b', [fault('invalid-argument')])
    await expect(importer(client).run(batches(record('a', '1') + record('b', '2')))).rejects.toThrow(
      /^line 2 was refused/,
    )
  })
})

describe('a bad line', () => {
  const text = `${record('a', '1')}nonsense\n\n${record('b', '2')}`

  it('stops the import with its number and the reason', async () => {
    const client = new FakeClient()
    const run = importer(client)
    const error = await run.run(batches(text)).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(BadInputError)
    expect((error as Error).message).toMatch(/^line 2 is not JSON/)
    expect(client.text('a')).toBe('1')
    expect(client.text('b')).toBeUndefined()
    expect(run.position.lines).toBe(1)
  })

  it('is counted and passed over where that was asked for; a blank line is none', async () => {
    const client = new FakeClient()
    const named: number[] = []
    const run = importer(client, { skipBad: true, onBadLine: (error) => named.push(error.line) })
    await run.run(batches(text))
    expect(run.counts).toMatchObject({ acknowledged: 2, bad: 1 })
    expect(named).toEqual([2])
    expect(run.position.lines).toBe(4)
  })

  it('a line over the limit is a bad line', async () => {
    async function* source(): AsyncGenerator<Line[]> {
      yield [{ number: 1, bytes: Buffer.alloc(0), end: 10, tooLong: true }]
    }
    await expect(importer(new FakeClient()).run(source())).rejects.toThrow(/^line 1 is longer than/)
  })
})

describe('expiry', () => {
  it('what has expired is passed over, and the rest is put with the time that is left', async () => {
    const client = new FakeClient()
    const now = client.timing.wall()
    client.faults.set('b', [fault('unavailable')])
    const text = record('a', '1', { expiresAt: now }) + record('b', '2', { expiresAt: now + 10_000 })
    const run = importer(client)
    await run.run(batches(text))
    expect(run.counts).toMatchObject({ acknowledged: 1, expired: 1 })
    expect(client.puts.map((put) => put.options.ttlMs)).toEqual([10_000, 9_950])
    expect(run.position.lines).toBe(2)
  })

  it('what expires while it is tried again is not put any more', async () => {
    const client = new FakeClient()
    client.faults.set('b', [fault('unavailable')])
    const run = importer(client)
    await run.run(batches(record('b', '2', { expiresAt: client.timing.wall() + 20 })))
    expect(run.counts).toMatchObject({ acknowledged: 0, expired: 1 })
  })
})

describe('an import that is stopped', () => {
  it('waits for what is on its way, sends nothing more, and its position lets a second run complete it', async () => {
    const client = new FakeClient()
    const text = Array.from({ length: 100 }, (_, i) => record(`k${i % 40}`, `v${i}`)).join('')
    client.holding = true
    const first = importer(client)
    const running = first.run(batches(text))
    await turn()
    first.stop()
    expect(first.counts.inFlight).toBe(16)
    client.release()
    await running
    expect(first.counts.acknowledged).toBe(16)
    expect(first.position.lines).toBe(16)

    const second = importer(client, { from: first.position })
    await second.run(batches(text, first.position))
    expect(second.counts.acknowledged).toBe(84)
    for (let i = 60; i < 100; i++) expect(client.text(`k${i % 40}`)).toBe(`v${i}`)
  })

  it('does not go on trying, and does not count what was not acknowledged', async () => {
    const client = new FakeClient()
    client.fault = fault('unavailable')
    const run = importer(client)
    const running = run.run(batches(record('a', '1') + record('a', '2') + record('b', '1')))
    while (client.timing.sleeps.length < 5) await turn()
    const { retries } = run.counts
    const sent = client.puts.length
    run.stop()
    await running
    expect(run.position.lines).toBe(0)
    expect(run.counts).toMatchObject({ acknowledged: 0, inFlight: 0, retrying: 0, retries })
    expect(client.puts.length).toBe(sent)
  })

  it('an input that ends with an error because it was closed is no failure', async () => {
    const client = new FakeClient(new FakeTiming())
    const run = importer(client)
    async function* source(): AsyncGenerator<Line[]> {
      yield new LineSplitter(100).push(Buffer.from(record('a', '1')))
      await new Promise((resolve) => run.stopped.addEventListener('abort', resolve))
      throw new Error('closed')
    }
    const running = run.run(source())
    await turn()
    run.stop()
    await running
  })

  it('what a listener throws at an acknowledgement fails the import', async () => {
    const onAcknowledged = () => {
      throw new Error('disk full')
    }
    const run = importer(new FakeClient(), { onAcknowledged })
    await expect(run.run(batches(record('a', '1')))).rejects.toThrow('disk full')
    expect(run.position.lines).toBe(0)
  })
})
