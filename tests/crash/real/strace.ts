import { readdirSync, readFileSync } from 'node:fs'
import { eventually, RunningProgram, type TestServer, tryCommand } from '../../fixtures.js'

/*
 * Failing system calls, by strace(1) and its option `inject`. What Node does to a data directory, seen with
 * `strace -f`: pwrite64, fdatasync and ftruncate on files, fsync on directories, rename and unlink, in the threads of
 * libuv's pool, but for small writes, which the main thread makes. strace counts calls for each thread, so a server that is
 * to fail at the n-th call has a pool of one (`oneThread`).
 */

/** The environment of a server whose calls are to be counted. */
export const oneThread: Readonly<Record<string, string>> = { UV_THREADPOOL_SIZE: '1' }

/** System calls that fail. */
export interface Fault {
  readonly call: 'fdatasync' | 'fsync' | 'ftruncate' | 'pread64' | 'pwrite64' | 'rename'
  readonly error: 'EIO' | 'ENOSPC'
  /** Which of them, as strace writes it: `3`, `3+`, `2..4`, `3+5`. Undefined: all. */
  readonly when?: string
  /** Only calls on this file or directory, by its absolute path at the time of the call. Undefined: on any. */
  readonly path?: string
}

function options({ call, error, when, path }: Fault): string[] {
  const inject = `inject=${call}:error=${error}${when === undefined ? '' : `:when=${when}`}`
  return ['-f', '-qq', '-e', `trace=${call}`, '-e', inject, ...(path === undefined ? [] : ['-P', path])]
}

/** A command that starts a program with a fault from the first moment on: strace is then a grandchild of it. */
export function startedWith(fault: Fault): readonly string[] {
  return ['strace', '-D', '-o', '/dev/null', ...options(fault)]
}

let refusal: string | undefined | 'unknown' = 'unknown'

/** Why no system calls can be made to fail here; undefined: they can. */
export function whyNoStrace(): string | undefined {
  if (refusal === 'unknown') refusal = findRefusal()
  return refusal
}

function findRefusal(): string | undefined {
  if (tryCommand('strace', '-V') === undefined) return 'strace is not installed'
  const script =
    'sleep 9 & s=$!; strace -qq -e trace=none -p $s 2>&1 & sleep 0.3; grep Tracer /proc/$s/status; kill $s; wait'
  const tracer = /TracerPid:\t(\d+)/.exec(tryCommand('sh', '-c', script) ?? '')?.[1] ?? '0'
  return tracer === '0' ? 'strace may not trace processes here' : undefined
}

/** A fault of a server that runs, from when `begin` resolves until `end`. */
export class Injection implements AsyncDisposable {
  readonly #strace: RunningProgram

  private constructor(strace: RunningProgram) {
    this.#strace = strace
  }

  static async begin(server: TestServer, fault: Fault): Promise<Injection> {
    const strace = new RunningProgram('strace', [...options(fault), '-p', String(server.pid)])
    await eventually('strace has all threads', () => {
      if (!strace.runs) throw new Error(`strace has ended: ${strace.diagnostics}`)
      return isTraced(server.pid)
    })
    return new Injection(strace)
  }

  /** How many calls have failed so far. */
  get failed(): number {
    return this.#strace.diagnostics.split('(INJECTED)').length - 1
  }

  /** Lets the server go on unharmed. */
  async end(): Promise<void> {
    await this.#strace[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
  }
}

function isTraced(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).every(
    (thread) => !readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8').includes('TracerPid:\t0\n'),
  )
}
