import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DockerfileParser } from 'dockerfile-ast'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseEnvironment, parseUnit } from '../packaging/systemd-unit.js'
import { reap, removeAtEnd } from '../reaper.js'

/*
 * No engine for containers runs here. What an image would hold and do is tried without one: a root directory with nothing in it
 * but what the last stage of the Dockerfile has, mounted read-only, in which its entry point runs as its user. The unit for systemd
 * is tried in the same place, command by command.
 */

const root = fileURLToPath(new URL('../../', import.meta.url))
const place = mkdtempSync(join(tmpdir(), 'kv-container-'))
removeAtEnd(place)
const image = join(place, 'root')
const data = join(place, 'data')
const uid = 10_001

/** Programs of the base image that ours need, with the libraries that they load. */
const programs = ['/bin/sh', '/usr/bin/env', '/bin/date', '/bin/sleep']

/** Mount namespaces and chroot need root; elsewhere the tests are skipped, and say so. */
function obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can change to another root directory'
  const tried = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt'])
  return tried.status === 0 ? undefined : 'mounts in a namespace of their own are forbidden here'
}
const missing = obstacle()
if (missing !== undefined) console.log(`container: skipped, ${missing}`)

function copyWithLibraries(program: string, to: string = program): void {
  const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)
  for (const [, path] of [[program, program] as const, ...Array.from(libraries, ([, path]) => [path, path] as const)]) {
    const target = join(image, path === program ? to : path!)
    mkdirSync(dirname(target), { recursive: true })
    cpSync(path!, target, { dereference: true })
  }
}

const instructions = DockerfileParser.parse(
  readFileSync(`${root}packaging/docker/Dockerfile`, 'utf8'),
).getInstructions()
const lastStage = instructions.slice(instructions.findLastIndex((each) => each.getKeyword() === 'FROM'))

function argumentOf(keyword: string): string {
  const found = lastStage.findLast((each) => each.getKeyword() === keyword)
  return (found?.getTextContent() ?? '').replace(/\\\n/g, ' ')
}

const listOf = (keyword: string): string[] => JSON.parse(/\[.*\]/.exec(argumentOf(keyword))![0]) as string[]

const environment: Record<string, string> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ...Object.fromEntries(
    argumentOf('ENV')
      .replace(/^ENV\s+/, '')
      .trim()
      .split(/\s+/)
      .map((pair) => pair.split('=') as [string, string]),
  ),
}

/** As the last stage does it: what it copies from the build, its links, its user's directory. */
function makeImage(): void {
  const packages = join(place, 'packages')
  execFileSync('node', ['scripts/pack.mjs', packages], { cwd: root, stdio: 'pipe' })
  execFileSync('node', ['scripts/stage.mjs', join(image, 'opt/quorumkv'), packages], { cwd: root, stdio: 'pipe' })
  copyWithLibraries(process.execPath, '/usr/local/bin/node')
  for (const program of programs) copyWithLibraries(program)
  cpSync(`${root}packaging/docker/kv-prestop`, join(image, 'usr/local/bin/kv-prestop'))
  chmodSync(join(image, 'usr/local/bin/kv-prestop'), 0o755)
  for (const [, target, name] of argumentOf('RUN').matchAll(/ln -s (\S+) (\S+)/g))
    symlinkSync(target!, join(image, name!))
  for (const directory of ['proc', 'tmp', 'dev', 'var/lib/quorumkv', 'etc/quorumkv']) {
    mkdirSync(join(image, directory), { recursive: true })
  }
  for (const device of ['null', 'urandom']) writeFileSync(join(image, 'dev', device), '')
  mkdirSync(data, { mode: 0o700 })
  chownSync(data, uid, uid)
}

/** The command line that starts a program in the image: read-only but for its data and /tmp, as its user, with its environment only. */
function inImage(argv: readonly string[], given: Record<string, string>): [string, string[]] {
  const [user] = argumentOf('USER')
    .replace(/^USER /, '')
    .split('\n')
  const mounts = [
    `mount --bind ${image} ${image}`,
    `mount -t proc proc ${image}/proc`,
    `mount -t tmpfs -o size=16m tmpfs ${image}/tmp`,
    `mount --bind ${data} ${image}/var/lib/quorumkv`,
    ...['null', 'urandom'].map((device) => `mount --bind /dev/${device} ${image}/dev/${device}`),
    `mount -o remount,ro,bind ${image}`,
  ]
  const words = Object.entries({ ...environment, ...given }).map(([name, value]) => `${name}=${value}`)
  const inside = ['env', '-i', ...words, 'chroot', `--userspec=${user}`, image, ...argv]
  return ['unshare', ['--mount', 'sh', '-ceu', `${mounts.join('\n')}\nexec "$@"`, 'sh', ...inside]]
}

function run(argv: readonly string[], given: Record<string, string> = {}): { status: number | null; out: string } {
  const [program, words] = inImage(argv, given)
  const { status, stdout, stderr } = spawnSync(program, words, { encoding: 'utf8', timeout: 60_000 })
  return { status, out: stdout + stderr }
}

function start(argv: readonly string[], given: Record<string, string>): { child: ChildProcess; log: () => string } {
  const [program, words] = inImage(argv, given)
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  reap(child)
  let text = ''
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (bytes) => (text += String(bytes)))
  return { child, log: () => text }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function endOf(child: ChildProcess): Promise<number | null> {
  child.kill('SIGTERM')
  const [status] = (await once(child, 'exit')) as [number | null]
  return status
}

describe.skipIf(missing !== undefined)('in a root directory of its own', () => {
  beforeAll(makeImage, 300_000)
  afterAll(() => rmSync(place, { recursive: true, force: true }))

  test('the entry point serves, is healthy, keeps what it was given, and ends with 0 at SIGTERM', async () => {
    const port = await freePort()
    const given = { KV_ID: 'n1', KV_ADDR: `0.0.0.0:${port}`, KV_INSECURE: 'true', KV_ADVERTISE: `127.0.0.1:${port}` }
    // tini is a package of Debian that only hands signals on; the kernel does that here.
    const entry = listOf('ENTRYPOINT').filter((word) => !['/usr/bin/tini', '--'].includes(word))
    const health = listOf('HEALTHCHECK')
    expect(run(health, given).status).toBe(1)
    for (const life of [1, 2]) {
      const { child, log } = start(entry, given)
      expect(run(['kv-server', 'health', '--wait', '30s'], given), log()).toEqual({
        status: 0,
        out: `127.0.0.1:${port}: serving\n`,
      })
      expect(run(health, given)).toEqual({ status: 0, out: '' })
      const kv = ['kv', '--endpoints', `127.0.0.1:${port}`]
      if (life === 1) expect(run([...kv, 'put', 'greeting', 'hello']).status).toBe(0)
      expect(run([...kv, 'get', 'greeting']).out).toContain('hello')
      // Alone there is no quorum to keep: it says no, and goes on when its time is over.
      const stopping = run(['kv-prestop', 'n1', '1'], { KV_PRESTOP_ENDPOINT: `127.0.0.1:${port}` })
      expect(stopping.status).toBe(0)
      expect(await endOf(child), log()).toBe(0)
    }
  })

  test('without settings it listens to nobody but itself, and its root is read-only', async () => {
    expect(run(['kv-server', '--check-config', '--addr', '0.0.0.0:50051']).status).toBe(2)
    const write = run(['sh', '-c', 'echo x > /opt/quorumkv/x; echo x > /var/lib/quorumkv/x && echo written'])
    expect(write.out).toContain('/opt/quorumkv/x: Read-only file system')
    expect(write.out).toContain('written')
  })

  test('the commands of the unit for systemd do what it expects of them', async () => {
    const { Service: service } = parseUnit(readFileSync(`${root}packaging/systemd/quorumkv.service`, 'utf8'))
    const port = await freePort()
    const http = await freePort()
    const settings = parseEnvironment(readFileSync(`${root}packaging/systemd/quorumkv.env`, 'utf8'))
    const own = {
      KV_DATA_DIR: '/var/lib/quorumkv/unit',
      KV_ADDR: `127.0.0.1:${port}`,
      KV_HTTP_ADDR: `127.0.0.1:${http}`,
    }
    const given = { ...settings, ...own }
    const command = (key: string): string[] =>
      service![key]![0]!.replace(/^-/, '').replace('/usr/bin/', '/usr/local/bin/').split(' ')
    expect(run(command('ExecStartPre'), given)).toEqual({ status: 0, out: 'the configuration is good\n' })
    const { child, log } = start(command('ExecStart'), given)
    expect(run(command('ExecStartPost'), given), log()).toEqual({ status: 0, out: '' })
    expect(await endOf(child), log()).toBe(0)
    expect(service!['KillSignal']).toEqual(['SIGTERM'])
  })
})
