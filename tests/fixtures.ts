import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { KvClient, type KvClientOptions } from '@quorumkv/client'
import { reap, removeAtEnd } from './reaper.js'

/*
 * The one place where tests construct what they test. Servers are the real program, as `npm run build` made it, each a
 * process of its own on 127.0.0.1 with a data directory of its own. Whatever is started here is killed, by its pid, at
 * the latest when the test's process ends, however that ends: see reaper.ts.
 */

/** `KV_E2E=long` (`npm run test:e2e`) for all of tests/e2e; `npm test` leaves out what takes long and is near something that it does. */
export const longForm: boolean = process.env['KV_E2E'] === 'long'

const program = fileURLToPath(new URL('../server/bin/kv-server.js', import.meta.url))
/** The program `kv`. */
export const commandLine: string = fileURLToPath(new URL('../client-sdk/cli/bin/kv.js', import.meta.url))
const localCluster = fileURLToPath(new URL('../server/bin/local-cluster.js', import.meta.url))
/** 700 real records as `kv import` reads them. */
export const sampleRecords: string = fileURLToPath(new URL('./data/packages.jsonl', import.meta.url))

/** How long a server may take for anything that it is told to do. Generous: the machine may be busy. */
const patienceMs = 30_000
/** Lines of a server's log that are kept. */
const linesMax = 5_000

const running = new Set<ChildProcess>()

/** Waits until `holds`, or throws after `withinMs` saying `what` did not come about. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  withinMs: number = patienceMs,
): Promise<void> {
  const endMs = performance.now() + withinMs
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A promise with a deadline of its own, so that a test that waits in vain says for what. */
async function within<T>(what: () => string, promise: Promise<T>, withinMs: number = patienceMs): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${withinMs} ms: ${what()}`)), withinMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** What a test's own settings in the environment must not change. */
function cleanEnvironment(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('KV_'))
  return { ...Object.fromEntries(kept), ...more }
}

/** A directory that is removed when the test's process ends. */
export function makeTemporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'quorumkv-'))
  removeAtEnd(path)
  return path
}

/** Ports that nobody has at this moment. Taken all at once, so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(async (server) => {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return (server.address() as AddressInfo).port
    }),
  )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

/** One line of a server's log. */
export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [fact: string]: unknown
}

export interface Exit {
  /** Null: ended by `signal`. */
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

/** Where a server runs if not beside the test: on a host of its own. */
export interface Place {
  /** Its address; reachable by others, so that a server there must be told that this is meant. */
  readonly host: string
  readonly port: number
  /** What makes a process one of that host: see `ServerOptions.under`. */
  readonly under: readonly string[]
}

export interface ServerOptions {
  /** Undefined: any free one, the same after a restart. */
  readonly port?: number
  /** Undefined: no HTTP. */
  readonly httpPort?: number
  /** Undefined: 127.0.0.1. */
  readonly host?: string
  readonly id?: string
  readonly peers?: readonly string[]
  /** Undefined: a new one. */
  readonly dataDir?: string
  readonly flags?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /**
   * A command and its arguments that, with the server's command behind them, become the server in the same process:
   * `nsenter`, `strace -D`, a shell that sets a limit and execs.
   */
  readonly under?: readonly string[]
  /** Undefined: the program of this repository, as it was built. */
  readonly program?: string
}

/** One life of a server: from its start to its end. */
class Life {
  readonly child: ChildProcess
  readonly lines: LogLine[] = []
  /** What it wrote that is not a line of its log. */
  stray = ''
  readonly exited: Promise<Exit>
  readonly ready: Promise<LogLine>

  constructor(
    argv: readonly string[],
    environment: Readonly<Record<string, string>>,
    under: readonly string[] = [],
    path: string = program,
  ) {
    const [command, ...rest] = [...under, process.execPath, path, ...argv]
    this.child = spawn(command!, rest, {
      env: cleanEnvironment(environment),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    running.add(this.child)
    reap(this.child)
    this.exited = once(this.child, 'close').then(([status, signal]) => {
      running.delete(this.child)
      return { status, signal } as Exit
    })
    this.ready = new Promise((resolve, reject) => {
      const take = (text: string): void => {
        if (!text.startsWith('{')) {
          this.stray += `${text}\n`
          return
        }
        const line = JSON.parse(text) as LogLine
        this.lines.push(line)
        if (this.lines.length > linesMax) this.lines.shift()
        if (line.msg === 'ready') resolve(line)
      }
      for (const stream of [this.child.stdout!, this.child.stderr!]) createInterface(stream).on('line', take)
      void this.exited.then((exit) =>
        reject(new Error(`ended before it was ready: ${JSON.stringify(exit)}\n${this.log}`)),
      )
    })
    // A test that only waits for the end does not wait for this.
    this.ready.catch(() => undefined)
  }

  get log(): string {
    return this.stray + this.lines.map((line) => JSON.stringify(line)).join('\n')
  }
}

/** A kv-server that can be stopped, killed and started again on the same port and data directory. */
export class TestServer implements AsyncDisposable {
  readonly dataDir: string
  readonly #options: ServerOptions
  readonly #host: string
  #port: number
  #under: readonly string[]
  #life: Life

  /** Starts the process; `ready` waits for it. */
  constructor(options: ServerOptions = {}) {
    this.#options = options
    this.dataDir = options.dataDir ?? makeTemporaryDirectory()
    this.#host = options.host ?? '127.0.0.1'
    this.#port = options.port ?? 0
    this.#under = options.under ?? []
    this.#life = this.#begin()
  }

  /** `host:port`; known once it has been ready. */
  get address(): string {
    if (this.#port === 0) throw new Error('the server has not been ready yet')
    return `${this.#host}:${this.#port}`
  }

  /** Where it listens for HTTP: `http://host:port`, of the first address; known once this life has been ready. */
  get httpUrl(): string {
    const line = this.lines.find(({ msg }) => msg === 'ready')
    const [address] = (line?.['httpAddresses'] ?? []) as string[]
    if (address === undefined) throw new Error('the server is not ready, or has no --http-addr')
    return `http://${address}`
  }

  get pid(): number {
    return this.#life.child.pid!
  }

  /** The log of this life. */
  get lines(): readonly LogLine[] {
    return this.#life.lines
  }

  get exited(): Promise<Exit> {
    return this.#life.exited
  }

  /** Its end, which must come by itself. */
  async end(): Promise<Exit> {
    return await within(() => `the end of the server\n${this.#life.log.slice(-4_000)}`, this.exited)
  }

  /** The line that says so. */
  async ready(): Promise<LogLine> {
    const line = await within(() => `ready\n${this.#life.log}`, this.#life.ready)
    const [address] = line['addresses'] as string[]
    this.#port = Number(address!.slice(address!.lastIndexOf(':') + 1))
    return line
  }

  /** Sends a signal without waiting. */
  signal(signal: NodeJS.Signals): void {
    this.#life.child.kill(signal)
  }

  /** As a crash does: nothing is flushed, nothing is said. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await within(() => 'killed', this.exited)
  }

  /** As an operator does. */
  async stop(): Promise<Exit> {
    this.signal('SIGTERM')
    return await within(() => `stopped\n${this.#life.log}`, this.exited)
  }

  /** Starts it again after it has ended, from now on under another command if one is named; `ready` waits for it. */
  start(under: readonly string[] = this.#under): void {
    if (running.has(this.#life.child)) throw new Error('the server still runs')
    this.#under = under
    this.#life = this.#begin()
  }

  async restart(): Promise<LogLine> {
    await this.kill()
    this.start()
    return await this.ready()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // One that was stopped by SIGSTOP dies of this, too.
    if (running.has(this.#life.child)) await this.kill()
  }

  #begin(): Life {
    const { id, peers = [], flags = [], environment = {} } = this.#options
    const argv = ['--addr', `${this.#host}:${this.#port}`, '--data-dir', this.dataDir, '--log-format', 'json']
    const { httpPort } = this.#options
    if (httpPort !== undefined) argv.push('--http-addr', `${this.#host}:${httpPort}`)
    if (this.#options.host !== undefined) argv.push('--insecure')
    if (id !== undefined) argv.push('--id', id)
    if (peers.length > 0) argv.push('--peers', peers.join(','))
    return new Life([...argv, ...flags], environment, this.#under, this.#options.program)
  }
}

/** Starts a server and waits until it serves. */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const server = new TestServer(options)
  try {
    await server.ready()
    return server
  } catch (error) {
    await server[Symbol.asyncDispose]()
    throw error
  }
}

/** Servers that form one cluster. */
export class TestCluster implements AsyncDisposable {
  readonly servers: readonly TestServer[]

  constructor(servers: readonly TestServer[]) {
    this.servers = servers
  }

  get addresses(): string[] {
    return this.servers.map(({ address }) => address)
  }

  async ready(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.ready()))
  }

  /** What `work` brings, unless a server ends before: then throws with the last of its log. */
  async whileAllRun<T>(work: () => Promise<T>): Promise<T> {
    const ends = this.servers.map(async (server) => {
      const { exited, lines } = server
      const exit = await exited
      throw new Error(`a server ended: ${JSON.stringify(exit)}\n${JSON.stringify(lines.slice(-10), undefined, 1)}`)
    })
    return await Promise.race([work(), ...ends])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()))
  }
}

/** Starts servers named n1, n2, …, all with the same list of peers, and waits until they serve; `http`: over HTTP as well. */
export async function startServers(
  count: number,
  options: Omit<ServerOptions, 'id' | 'port' | 'httpPort' | 'peers' | 'dataDir'> & { readonly http?: boolean } = {},
): Promise<TestCluster> {
  const { http = false, ...rest } = options
  // All at once: one that is free while the first server takes any free one may be the next server's.
  const free = await freePorts(http ? 2 * count : count)
  const ports = free.slice(0, count)
  return await form(
    ports.map((port) => `127.0.0.1:${port}`),
    ports.map((port, i) => ({ ...rest, port, ...(http ? { httpPort: free[count + i]! } : {}) })),
  )
}

/** The same with each server on a host of its own. */
export async function startServersAt(
  places: readonly Place[],
  options: Pick<ServerOptions, 'flags' | 'environment'> = {},
): Promise<TestCluster> {
  return await form(
    places.map(({ host, port }) => `${host}:${port}`),
    places.map((place) => ({ ...options, ...place })),
  )
}

async function form(peers: readonly string[], each: readonly ServerOptions[]): Promise<TestCluster> {
  const cluster = new TestCluster(each.map((options, i) => new TestServer({ ...options, peers, id: `n${i + 1}` })))
  try {
    await cluster.ready()
    return cluster
  } catch (error) {
    await cluster[Symbol.asyncDispose]()
    throw error
  }
}

/** What a program that ends by itself did. */
export interface Run extends Exit {
  readonly output: string
}

/** Runs kv-server with just these arguments, and waits for its end. */
export async function runServer(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Run> {
  const life = new Life(argv, environment)
  try {
    const exit = await within(() => `the end of kv-server ${argv.join(' ')}\n${life.log}`, life.exited)
    return { ...exit, output: life.log }
  } finally {
    life.child.kill('SIGKILL')
  }
}

/** A client of these servers, with time enough for a busy machine. */
export function makeClient(addresses: readonly string[], options: Partial<KvClientOptions> = {}): KvClient {
  return new KvClient({ endpoints: [...addresses], timeoutMs: 20_000, ...options })
}

/** Runs a short command to its end: what it wrote where it ended with 0, else undefined, also where there is none. */
export function tryCommand(command: string, ...argv: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(command, argv, { encoding: 'utf8', timeout: patienceMs })
  return status === 0 ? stdout : undefined
}

/** A program that runs, its output as it comes. */
export class RunningProgram implements AsyncDisposable {
  /** What it wrote to standard output. */
  output = ''
  /** What it wrote to standard error. */
  diagnostics = ''
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess

  /** Its standard input stays empty, and ends when this process does. */
  constructor(command: string, argv: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(command, argv, { env: cleanEnvironment(environment), stdio: 'pipe' })
    running.add(this.#child)
    reap(this.#child)
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.output += text
    })
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.diagnostics += text
    })
    this.exited = once(this.#child, 'close').then(([status, signal]) => {
      running.delete(this.#child)
      return { status, signal } as Exit
    })
  }

  get pid(): number {
    return this.#child.pid!
  }

  get runs(): boolean {
    return running.has(this.#child)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Its end, which must come by itself. */
  async end(): Promise<Exit> {
    return await within(() => `the end of the program\n${this.output}\n${this.diagnostics}`, this.exited)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!running.has(this.#child)) return
    this.signal('SIGTERM')
    await this.end()
  }
}

/** Starts `kv` on these servers; its state goes to a directory of its own. `under`: as `ServerOptions.under`. */
export function startKv(
  addresses: readonly string[],
  argv: readonly string[],
  more: Readonly<Record<string, string>> = {},
  under: readonly string[] = [],
): RunningProgram {
  const environment = { XDG_STATE_HOME: makeTemporaryDirectory(), ...more }
  const [command, ...rest] = [...under, process.execPath, commandLine, '--endpoints', addresses.join(','), ...argv]
  return new RunningProgram(command!, rest, environment)
}

/** Starts what `./run.sh` starts when it has built: three nodes on these ports, data in this directory. */
export function startLocalCluster(
  ports: readonly number[],
  data: string,
  httpPorts: readonly number[] = [],
): RunningProgram {
  const environment = { KV_PORTS: ports.join(','), KV_HTTP_PORTS: httpPorts.join(','), KV_DATA: data }
  return new RunningProgram(process.execPath, [localCluster], environment)
}
