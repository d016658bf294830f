import { expect, test } from 'vitest'
import { runPathBenchmark } from './path-benchmark.js'

const settings = { inFlight: [4], rounds: 1, seconds: 0.1, keys: 50, seed: '1', fsync: 'always', json: false } as const

test('one node and three in one process put and get what was put, each with a figure of its own', async () => {
  const { results } = await runPathBenchmark(
    { ...settings, nodes: [1, 3], dataDir: undefined },
    new AbortController().signal,
  )
  expect(results.map(({ nodes, operation }) => [nodes, operation])).toEqual([
    [1, 'put'],
    [1, 'get'],
    [3, 'put'],
    [3, 'get'],
  ])
  for (const { cpuUsMin, cpuUsMedian, perSecond } of results) {
    expect(cpuUsMin).toBeGreaterThan(0)
    expect(cpuUsMedian).toBeGreaterThanOrEqual(cpuUsMin)
    expect(perSecond).toBeGreaterThan(0)
  }
})

test('Ctrl-C ends it, and the nodes with it', async () => {
  const controller = new AbortController()
  const run = runPathBenchmark({ ...settings, nodes: [1], seconds: 60, dataDir: undefined }, controller.signal)
  const reason = new Error('interrupted')
  setTimeout(() => controller.abort(reason), 300)
  await expect(run).rejects.toBe(reason)
})
