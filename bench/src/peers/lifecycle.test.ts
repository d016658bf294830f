import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ServerGroup } from '../server-group.js'
import { startEtcd } from './etcd.js'
import { providePrograms } from './packages.js'
import { startRedis } from './redis.js'

const never = new AbortController().signal
let programs = ''
let data = ''

beforeEach(() => {
  programs = mkdtempSync(join(tmpdir(), 'quorumkv-programs-'))
  data = mkdtempSync(join(tmpdir(), 'quorumkv-data-'))
  vi.stubEnv('PATH', `${programs}${delimiter}${process.env['PATH']}`)
})

afterEach(() => {
  vi.unstubAllEnvs()
  for (const directory of [programs, data]) rmSync(directory, { recursive: true, force: true })
})

/** Puts a program on the path that keeps what it was asked for with its data, says `text`, and stays, unless it is to fail. */
function fakeProgram(name: string, dataFlag: string, text: string, fails = ''): void {
  const file = join(programs, name)
  const script = `#!${process.execPath}
    const { mkdirSync, writeFileSync } = require('node:fs')
    const args = process.argv.slice(2)
    const directory = args[args.indexOf('${dataFlag}') + 1]
    mkdirSync(directory, { recursive: true })
    writeFileSync(directory + '/args.json', JSON.stringify(args))
    if (process.env.ETCD_UNSAFE_NO_FSYNC !== undefined) process.exit(2)
    ${fails === '' ? '' : `if (args.includes('${fails}')) process.exit(1)`}
    console.log('${text}')
    setInterval(() => {}, 1000)`
  writeFileSync(file, script)
  chmodSync(file, 0o755)
}

/** What each server of a group was started with, by the name of its directory. */
async function argumentsOf({ directory }: ServerGroup): Promise<string[]> {
  const servers = (await readdir(directory)).toSorted()
  const files = servers.map((server) => readFile(join(directory, server, 'args.json'), 'utf8'))
  return (await Promise.all(files)).map((text) => (JSON.parse(text) as string[]).join(' '))
}

test('Redis flushes as it was asked to, on loopback, with no snapshots', async () => {
  fakeProgram('redis-server', '--dir', 'Ready to accept connections tcp')
  const settings = { replicas: 0, parentDirectory: data, signal: never } as const
  const group = await startRedis({ ...settings, appendFsync: 'everysec' })
  const [command] = await argumentsOf(group)
  expect(command).toContain('--bind 127.0.0.1')
  expect(command).toContain('--appendonly yes')
  expect(command).toContain('--appendfsync everysec')
  expect(command).toMatch(/--save {2}--/)
  await group.stop()
  expect(await readdir(data)).toEqual([])
})

test('three nodes of etcd know of each other, not of what the user has set for others, and end together', async () => {
  vi.stubEnv('ETCD_UNSAFE_NO_FSYNC', 'true')
  fakeProgram('etcd', '--data-dir', 'serving client traffic insecurely')
  const group = await startEtcd({ nodes: 3, parentDirectory: data, signal: never })
  const commands = await argumentsOf(group)
  const clusters = commands.map((command) => /--initial-cluster (\S+)/.exec(command)![1]!)
  expect(new Set(clusters).size).toBe(1)
  expect(clusters[0]!.split(',').map((node) => node.split('=')[0])).toEqual(['etcd1', 'etcd2', 'etcd3'])
  expect(new Set(group.endpoints).size).toBe(3)
  await group.stop()
  expect(await readdir(data)).toEqual([])
})

test('a node of etcd that does not start takes the others with it', async () => {
  fakeProgram('etcd', '--data-dir', 'serving client traffic insecurely', 'etcd2')
  const start = startEtcd({ nodes: 3, parentDirectory: data, signal: never })
  await expect(start).rejects.toThrow('etcd2 ended with 1 before it was ready')
  expect(await readdir(data)).toEqual([])
})

test('what is missing is not installed unless that is asked for', async () => {
  vi.stubEnv('PATH', programs)
  await expect(providePrograms(['etcd'], false, never)).rejects.toThrow('etcd is not installed: `npm run bench:peers')
  fakeProgram('etcd', '--data-dir', '')
  await expect(providePrograms(['etcd'], false, never)).resolves.toBeUndefined()
})

test('an installer that fails is told with its command', async () => {
  vi.stubEnv('PATH', programs)
  const failing = `#!${process.execPath}\nprocess.exit(100)`
  for (const name of ['env', 'sudo']) {
    writeFileSync(join(programs, name), failing)
    chmodSync(join(programs, name), 0o755)
  }
  await expect(providePrograms(['redis'], true, never)).rejects.toThrow(/^apt-get ended with 100; .* redis-server$/)
})
