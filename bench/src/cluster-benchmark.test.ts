import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runClusterBenchmark } from './cluster-benchmark.js'
import { addClusterOptions } from './options.js'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorumkv-cluster-'))
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

test.each(['--csv', '--html'])('%s that cannot be written is told before anything is started', async (flag) => {
  const file = join(directory, 'no', 'such', 'file')
  const command = addClusterOptions(new Command('bench'), () => Promise.resolve()).parse(
    [flag, file, '--data-dir', directory],
    { from: 'user' },
  )
  const told: string[] = []
  const running = runClusterBenchmark(command.opts(), new AbortController().signal, (text) => told.push(text))
  await expect(running).rejects.toThrow(/ENOENT.*no\/such\/file/)
  expect(told).toEqual([])
  expect(readdirSync(directory)).toEqual([])
})
