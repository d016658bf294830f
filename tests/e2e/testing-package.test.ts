import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const home = fileURLToPath(new URL('../testing/', import.meta.url))

/** Runs a program of Node in the package's folder, and gives what it wrote. */
function run(...args: readonly string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000, cwd: home })
  return { status, text: stdout + stderr }
}

/** Ends with status 3 if it has not done so by itself a second after the cluster was closed. */
const program = `
import { startCluster } from '@quorumkv/testing'
const cluster = await startCluster(JSON.parse(process.argv[1]))
const client = cluster.client()
await client.put('key', 'value')
await cluster.kill(0)
await cluster.restart(0)
cluster.partition([[0]], { silent: true })
await cluster.close()
const endedMs = performance.now()
process.on('exit', () => {
  if (performance.now() - endedMs > 1_000) process.exitCode = 3
})
setImmediate(() => {
  const left = process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY/.test(name))
  process.stdout.write(JSON.stringify(left))
})
`

describe.each([{}, { disk: true, http: true }])('after a cluster with %j', (options) => {
  test('no timer and no socket is left, and the process ends by itself', () => {
    const { status, text } = run('--input-type=module', '-e', program, JSON.stringify(options))
    expect({ status, text }).toEqual({ status: 0, text: '[]' })
  })
})

test('the example for node:test passes', () => {
  const { status, text } = run('--test', 'examples/node-test.example.mjs')
  expect(text).toMatch(/pass 2\b/)
  expect(status).toBe(0)
})

test('the example in the README of @quorumkv/testing runs', () => {
  const [, example = ''] = /```js\n(.*?)```/s.exec(readFileSync(`${home}README.md`, 'utf8')) ?? []
  expect(example).toContain('await using cluster')
  // Node 20 does not know `using`, which TypeScript translates.
  const runnable = `${example.replace('await using cluster', 'const cluster')}\nawait cluster.close()`
  expect(run('--input-type=module', '-e', runnable)).toEqual({ status: 0, text: '' })
})
