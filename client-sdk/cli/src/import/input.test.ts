import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FailedError } from '../exit.js'
import type { Line } from '../lines.js'
import { type LineInput, openFileInput, streamInput } from './input.js'

const start = { lines: 0, offset: 0 }
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kv-input-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function read(input: LineInput, from = start): Promise<Line[]> {
  const lines: Line[] = []
  for await (const batch of input.lines(from)) lines.push(...batch)
  await input.close()
  return lines
}

async function file(name: string, content: Buffer | string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

const numbered = (n: number): string => Array.from({ length: n }, (_, i) => `line ${i + 1}\n`).join('')
const texts = (lines: Line[]): string[] => lines.map((line) => line.bytes.toString())

describe('what an import reads', () => {
  it('tells gzip by its first bytes and not by the name', async () => {
    const content = numbered(3)
    for (const [name, bytes] of [
      ['packed.txt', gzipSync(content)],
      ['plain.gz', Buffer.from(content)],
    ] as const) {
      const input = await openFileInput(await file(name, bytes))
      expect(texts(await read(input))).toEqual(['line 1', 'line 2', 'line 3'])
      expect(input.bytesRead()).toBe(bytes.length)
    }
  })

  it('reads gzip that consists of several members, as `cat a.gz b.gz` makes it', async () => {
    const path = await file('members.gz', Buffer.concat([gzipSync('a\n'), gzipSync('b\n')]))
    expect(texts(await read(await openFileInput(path)))).toEqual(['a', 'b'])
  })

  it('tells gzip in a pipe that delivers one byte at a time, and takes inputs of one byte and of none', async () => {
    const bytewise = (bytes: Buffer) => Readable.from([...bytes].map((byte) => Buffer.from([byte])))
    expect(texts(await read(streamInput(bytewise(gzipSync('a\nb')), 'pipe')))).toEqual(['a', 'b'])
    expect(texts(await read(streamInput(bytewise(Buffer.from([0x1f])), 'pipe')))).toEqual(['\x1f'])
    expect(await read(streamInput(bytewise(Buffer.alloc(0)), 'pipe'))).toEqual([])
  })

  it('goes on behind any line, packed or not, with the same numbers and the same ends', async () => {
    const content = numbered(50)
    const inputs = [
      async () => openFileInput(await file('resume.jsonl', content)),
      async () => openFileInput(await file('resume.gz', gzipSync(content))),
      async () => streamInput(Readable.from([Buffer.from(content)]), 'pipe'),
    ]
    for (const open of inputs) {
      const all = await read(await open())
      const rest = await read(await open(), { lines: 20, offset: all[19]!.end })
      expect(rest).toEqual(all.slice(20))
    }
  })

  it('a file of gzip data that was cut short is an error and not a short input', async () => {
    const packed = gzipSync(numbered(1000))
    const input = await openFileInput(await file('cut.gz', packed.subarray(0, packed.length - 10)))
    await expect(read(input)).rejects.toThrow(/is cut short/)
    const damaged = Buffer.from(packed)
    damaged[damaged.length - 6]! ^= 1
    await expect(read(await openFileInput(await file('bad.gz', damaged)))).rejects.toThrow(/is damaged/)
  })

  it('says what is wrong with a name that cannot be read', async () => {
    await expect(openFileInput(join(folder, 'absent'))).rejects.toThrow(/absent does not exist/)
    await expect(openFileInput(folder)).rejects.toThrow(FailedError)
  })

  it('can be closed while it waits for data', async () => {
    const input = streamInput(new PassThrough(), 'pipe')
    const reading = read(input)
    await input.close()
    await expect(reading).rejects.toThrow(FailedError)
  })
})
