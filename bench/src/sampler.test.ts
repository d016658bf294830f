import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { diskBytes, lateGrowth, sampledWhile } from './sampler.js'
import { ServerGroup } from './server-group.js'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorumkv-sampler-'))
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

test('files take their blocks, also in directories below, and what is not there takes nothing', async () => {
  mkdirSync(join(directory, 'a', 'b'), { recursive: true })
  writeFileSync(join(directory, 'a', 'b', 'file'), Buffer.alloc(100_000, 1))
  const bytes = await diskBytes(directory)
  expect(bytes).toBeGreaterThanOrEqual(100_000)
  expect(bytes).toBeLessThan(200_000)
  expect(await diskBytes(join(directory, 'absent'))).toBe(0)
})

test('a group is sampled before, during and after the work', async () => {
  const script = "console.log('ready'); setInterval(() => {}, 1000)"
  const spec = { id: 'a', address: '127.0.0.1:1', command: process.execPath, args: ['-e', script], readyText: 'ready' }
  await using group = await ServerGroup.start(directory, (started) => {
    started.add(spec)
    return started.ready(new AbortController().signal)
  })
  const taken = vi.spyOn(group, 'processes', 'get')
  const { result, samples } = await sampledWhile(group, 10, async () => {
    writeFileSync(join(group.directory, 'log'), Buffer.alloc(1_000_000, 1))
    await expect.poll(() => taken.mock.calls.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(3)
    return 42
  })
  expect(result).toBe(42)
  expect(samples.length).toBeGreaterThanOrEqual(3)
  expect(samples[0]!.fileBytes).toBe(0)
  expect(samples.at(-1)!.fileBytes).toBeGreaterThanOrEqual(1_000_000)
  if (process.platform === 'linux') expect(samples.at(-1)!.residentBytes).toBeGreaterThan(1_000_000)
  await expect(sampledWhile(group, 10, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
})

test('what goes up and down levels off, what goes on growing does not', () => {
  const sawtooth = Array.from({ length: 60 }, (_, i) => 100 + (i % 10))
  expect(lateGrowth(sawtooth)).toBe(1)
  expect(lateGrowth([10, 50, 100, 100, 100, 100])).toBe(1)
  expect(lateGrowth(Array.from({ length: 60 }, (_, i) => 100 + i * 10))).toBeGreaterThan(1.3)
  expect(() => lateGrowth([1, 2])).toThrow('three samples')
})
