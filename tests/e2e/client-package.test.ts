import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startServer } from '../fixtures.js'

const run = promisify(execFile)
const here = fileURLToPath(new URL('..', import.meta.url))

/** What a program prints that Node runs as it is, with the packages as they were built; it must end by itself. */
async function printed(program: string, kind: 'module' | 'commonjs', argument: string): Promise<string> {
  const argv = [`--input-type=${kind}`, '--eval', program, argument]
  const { stdout } = await run(process.execPath, argv, { cwd: here, timeout: 30_000 })
  return stdout.trim()
}

const work = `
  const client = new KvClient([process.argv[1]])
  client.on('topology', ({ members }) => console.log(members.length))
  const users = client.collection('user:', json())
  await users.put('1', { name: 'Ada' })
  console.log(JSON.stringify(await users.get('1')))
`

test('the built client works where it is imported', async () => {
  await using server = await startServer()
  const program = `import { json, KvClient } from '@quorumkv/client'\n${work}\nawait client.close()`
  expect(await printed(program, 'module', server.address)).toBe('1\n{"name":"Ada"}')
})

test('the built client works where it is required, and is the same one', async () => {
  await using server = await startServer()
  const program = `const { json, KvClient } = require('@quorumkv/client')
    const main = async () => {
      ${work}
      await client[Symbol.asyncDispose]()
      console.log((await import('@quorumkv/client')).KvClient === KvClient)
    }
    main()`
  expect(await printed(program, 'commonjs', server.address)).toBe('1\n{"name":"Ada"}\ntrue')
})

test('the entry for OpenTelemetry can be required, and the client itself loads nothing of it', async () => {
  const loads = (entry: string): string => `
    require('${entry}')
    console.log(Object.keys(require.cache).some((file) => file.includes('@opentelemetry')))`
  expect(await printed(loads('@quorumkv/client/otel'), 'commonjs', '')).toBe('true')
  expect(await printed(loads('@quorumkv/client'), 'commonjs', '')).toBe('false')
})
