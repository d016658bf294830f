import { describe, expect, it } from 'vitest'
import { FakeIo } from './fakes.test-support.js'
import { describeProgress, Progress, type ProgressSample } from './progress.js'

const sample = (records: number, total: number | undefined = 1000): ProgressSample => ({
  records,
  bytes: records * 1024,
  done: records,
  total,
})

describe('progress', () => {
  it('tells share, rate and what is left, from the last seconds', () => {
    const before = { ...sample(100), atMs: 0 }
    const now = { ...sample(300), atMs: 2000, note: '3 tried again' }
    expect(describeProgress('import', before, now, true)).toBe(
      'import  [######..............]  30%  300 records  100/s  300.0 KiB  7.0 s left  3 tried again',
    )
  })

  it('says no share and no time where the size is unknown, the work stands still, or it is past the estimate', () => {
    const at = (records: number, total: number | undefined, atMs: number) => ({ ...sample(records), total, atMs })
    expect(describeProgress('import', at(0, undefined, 0), at(5, undefined, 1000), true)).toBe(
      'import  5 records  5/s  5.0 KiB',
    )
    expect(describeProgress('export', at(5, 10, 0), at(5, 10, 1000), false)).toBe(
      'export  50%  5 records  0/s  5.0 KiB',
    )
    expect(describeProgress('export', at(5, 10, 0), at(15, 10, 1000), false)).toContain('100%')
    expect(describeProgress('export', at(0, 0, 0), at(0, 0, 0), false)).toBe('export  0 records  0/s  0 B')
  })

  it('redraws one line on a terminal and clears it at the end', () => {
    const io = new FakeIo({ terminal: true })
    let records = 0
    const progress = new Progress(io, { verb: 'import', shown: true, json: false }, () => sample(records))
    records = 500
    io.timing.tick(1000)
    progress.note('a word')
    io.timing.tick(1000)
    progress.end()
    io.timing.tick(1000)
    expect(io.stderr.text.split('\r').map((line) => line.replace('\x1b[K', ''))).toEqual([
      '',
      'import  [##########..........]  50%  500 records  500/s  500.0 KiB  1.0 s left',
      'kv: a word\n',
      'import  [##########..........]  50%  500 records  250/s  500.0 KiB  2.0 s left',
      '',
    ])
  })

  it('forgets what was faster long ago', () => {
    const io = new FakeIo()
    let records = 0
    new Progress(io, { verb: 'import', shown: true, json: false }, () => sample(records, undefined))
    records = 1_000_000
    for (let i = 0; i < 4; i++) io.timing.tick(5000)
    expect(io.stderr.text.split('\n').map((line) => /\S+\/s/.exec(line)?.[0])).toEqual([
      '200,000/s',
      '100,000/s',
      '0/s',
      '0/s',
      undefined,
    ])
  })

  it('writes whole lines elsewhere, and only notes where it is not wanted', () => {
    for (const shown of [true, false]) {
      const io = new FakeIo()
      const progress = new Progress(io, { verb: 'import', shown, json: false }, () => sample(1))
      io.timing.tick(5000)
      progress.note('a word')
      progress.end()
      expect(io.stderr.text).toBe(shown ? 'import  0%  1 record  0/s  1.0 KiB\nkv: a word\n' : 'kv: a word\n')
    }
  })
  it('tells a program what there is to say, in JSON, and no progress', () => {
    const io = new FakeIo()
    const progress = new Progress(io, { verb: 'import', shown: true, json: true }, () => sample(1))
    io.timing.tick(5000)
    progress.note('a word')
    expect(io.stderr.text).toBe('{"note":"a word"}\n')
  })
})
