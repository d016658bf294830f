import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DockerfileParser } from 'dockerfile-ast'
import { reap, removeAtEnd } from '../reaper.js'

/*
 * No engine for containers runs here. What an image would hold and do is tried without one: a root directory with nothing in it
 * but what the last stage of the Dockerfile has, mounted read-only, in which programs run as the image's user.
 */

const root = fileURLToPath(new URL('../../', import.meta.url))
const uid = 10_001

/** Programs of the base image that ours need, with the libraries that they load. */
const programs = ['/bin/sh', '/usr/bin/env', '/bin/cat', '/bin/date', '/bin/sleep']

/** Mount namespaces and chroot need root. Undefined: it can be done here. */
export function imageObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can change to another root directory'
  const tried = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt'])
  return tried.status === 0 ? undefined : 'mounts in a namespace of their own are forbidden here'
}

const instructions = DockerfileParser.parse(
  readFileSync(`${root}packaging/docker/Dockerfile`, 'utf8'),
).getInstructions()
const lastStage = instructions.slice(instructions.findLastIndex((each) => each.getKeyword() === 'FROM'))

function argumentOf(keyword: string): string {
  const found = lastStage.findLast((each) => each.getKeyword() === keyword)
  return (found?.getTextContent() ?? '').replace(/\\\n/g, ' ')
}

/** The list that an instruction of the last stage has. */
export function listOf(keyword: string): string[] {
  return JSON.parse(/\[.*\]/.exec(argumentOf(keyword))![0]) as string[]
}

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

/** What a container sees besides the image. */
export interface Surroundings {
  readonly environment?: Readonly<Record<string, string>>
  /** Directories of this machine by the paths where they are mounted; the one of the image's volume is not named. */
  readonly readOnly?: Readonly<Record<string, string>>
  /** The directory that is its volume; else one that all without another share. */
  readonly data?: string
}

export interface Ran {
  readonly status: number | null
  readonly out: string
}

/** Started in the image. */
export interface Started {
  readonly child: ChildProcess
  readonly log: () => string
}

/** The root directory of an image, and what runs in it. */
export class ImageRoot {
  /** Where all of it is, and further directories may be made. Removed when the process ends. */
  readonly place: string = mkdtempSync(join(tmpdir(), 'kv-container-'))
  readonly #image: string = join(this.place, 'root')
  readonly #data: string

  /** As the last stage does it: what it copies from the build, its links, its user's directory. Takes some seconds. */
  constructor() {
    removeAtEnd(this.place)
    const packages = join(this.place, 'packages')
    execFileSync('node', ['scripts/pack.mjs', packages], { cwd: root, stdio: 'pipe' })
    execFileSync('node', ['scripts/stage.mjs', join(this.#image, 'opt/quorumkv'), packages], {
      cwd: root,
      stdio: 'pipe',
    })
    this.#copyWithLibraries(process.execPath, '/usr/local/bin/node')
    for (const program of programs) this.#copyWithLibraries(program)
    this.write('usr/local/bin/kv-prestop', readFileSync(`${root}packaging/docker/kv-prestop`, 'utf8'), 0o755)
    for (const [, target, name] of argumentOf('RUN').matchAll(/ln -s (\S+) (\S+)/g))
      symlinkSync(target!, join(this.#image, name!))
    for (const directory of ['proc', 'tmp', 'dev', 'var/lib/quorumkv', 'etc/quorumkv']) {
      mkdirSync(join(this.#image, directory), { recursive: true })
    }
    for (const device of ['null', 'urandom']) this.write(`dev/${device}`, '')
    this.#data = this.volume('data')
  }

  /** A directory of its own for a container, which the image's user may write to. */
  volume(name: string): string {
    const path = join(this.place, name)
    mkdirSync(path, { mode: 0o700 })
    chownSync(path, uid, uid)
    return path
  }

  /** Writes a file of the image. */
  write(path: string, text: string, mode: number = 0o644): void {
    const target = join(this.#image, path)
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, text)
    chmodSync(target, mode)
  }

  #copyWithLibraries(program: string, to: string = program): void {
    const libraries = execFileSync('ldd', [program], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)
    for (const [, path] of [
      [program, program] as const,
      ...Array.from(libraries, ([, path]) => [path, path] as const),
    ]) {
      const target = join(this.#image, path === program ? to : path!)
      mkdirSync(dirname(target), { recursive: true })
      cpSync(path!, target, { dereference: true })
    }
  }

  /** The command line that starts a program: read-only but for its volume and /tmp, as the image's user, with its environment only. */
  #inside(
    argv: readonly string[],
    { environment: given = {}, readOnly = {}, data = this.#data }: Surroundings,
  ): string[] {
    const image = this.#image
    const [user] = argumentOf('USER')
      .replace(/^USER /, '')
      .split('\n')
    for (const path of Object.keys(readOnly)) mkdirSync(join(image, path), { recursive: true })
    const mounts = [
      `mount --bind ${image} ${image}`,
      `mount -t proc proc ${image}/proc`,
      `mount -t tmpfs -o size=16m tmpfs ${image}/tmp`,
      `mount --bind ${data} ${image}/var/lib/quorumkv`,
      ...Object.entries(readOnly).map(([path, from]) => `mount --bind -o ro ${from} ${image}${path}`),
      ...['null', 'urandom'].map((device) => `mount --bind /dev/${device} ${image}/dev/${device}`),
      `mount -o remount,ro,bind ${image}`,
    ]
    const words = Object.entries({ ...environment, ...given }).map(([name, value]) => `${name}=${value}`)
    const inside = ['env', '-i', ...words, 'chroot', `--userspec=${user}`, image, ...argv]
    return ['--mount', 'sh', '-ceu', `${mounts.join('\n')}\nexec "$@"`, 'sh', ...inside]
  }

  /** Runs a program to its end; `input` is what it reads. */
  run(argv: readonly string[], surroundings: Surroundings = {}, input: string = ''): Ran {
    const words = this.#inside(argv, surroundings)
    const { status, stdout, stderr } = spawnSync('unshare', words, { encoding: 'utf8', timeout: 60_000, input })
    return { status, out: stdout + stderr }
  }

  start(argv: readonly string[], surroundings: Surroundings): Started {
    const child = spawn('unshare', this.#inside(argv, surroundings), { stdio: ['ignore', 'pipe', 'pipe'] })
    reap(child)
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += String(bytes)))
    return { child, log: () => text }
  }
}

/** Stops it as an engine would; resolves to its status. */
export async function endOf({ child }: Started): Promise<number | null> {
  child.kill('SIGTERM')
  const [status] = (await once(child, 'exit')) as [number | null]
  return status
}
