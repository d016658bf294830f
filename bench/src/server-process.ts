import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { limits } from './limits.js'

const program = fileURLToPath(new URL('../../server/bin/kv-server.js', import.meta.url))

/** A node did not start, or ended when it should not have. */
export class ServerError extends Error {
  override readonly name = 'ServerError'
}

/** The environment without KV_…: what a user has set for a node of their own must not change what is measured. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('KV_')))
}

/** One kv-server as a process of its own. */
export class ServerProcess {
  readonly id: string
  readonly address: string
  /** Resolves when the process has ended or could not be started, with what happened in words. Never rejects. */
  readonly ended: Promise<string>
  readonly #child: ChildProcess
  readonly #becameReady: Promise<void>
  readonly #logLines: string[] = []

  /** Starts the process; `flags` are further ones of kv-server. */
  constructor(id: string, address: string, flags: readonly string[]) {
    this.id = id
    this.address = address
    const fixed = ['--id', id, '--addr', address, '--log-format', 'json', '--log-level', 'info']
    // In a process group of its own: Ctrl-C in the terminal is for the benchmark, which then stops its nodes.
    this.#child = spawn(process.execPath, [program, ...fixed, ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: cleanEnvironment(),
      detached: true,
    })
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(`could not be started: ${error.message}`))
      this.#child.once('close', (status, signal) => resolve(`ended with ${status ?? signal}`))
    })
    this.#becameReady = this.#followLog()
  }

  /** Undefined where the process could not be started. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  get isRunning(): boolean {
    return this.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** The last lines that it has logged. */
  get logTail(): string {
    return this.#logLines.join('\n')
  }

  /** Resolves when it serves. Rejects with ServerError when it has ended or takes too long, or with the signal's reason. */
  async ready(signal: AbortSignal): Promise<void> {
    const settled = new AbortController()
    const late = async (): Promise<never> => {
      await delay(limits.nodeReadyMs, undefined, { signal: settled.signal })
      throw this.failure(`was not ready within ${limits.nodeReadyMs / 1000} s`)
    }
    const dead = async (): Promise<never> => {
      throw this.failure(`${await this.ended} before it was ready`)
    }
    const aborted = async (): Promise<never> => {
      if (!signal.aborted) await once(signal, 'abort', { signal: settled.signal })
      throw signal.reason
    }
    try {
      await Promise.race([this.#becameReady, late(), dead(), aborted()])
    } finally {
      settled.abort()
    }
  }

  /** An error that says what happened to this node, with the end of its log. */
  failure(what: string): ServerError {
    return new ServerError(`node ${this.id} ${what}; its log ends with:\n${this.logTail}`)
  }

  /** Asks it to stop, kills it when it does not, and resolves when it has ended. */
  async stop(): Promise<void> {
    if (this.isRunning) this.#child.kill('SIGTERM')
    const stopped = new AbortController()
    const kill = async (): Promise<void> => {
      await delay(limits.nodeStopMs, undefined, { signal: stopped.signal })
      this.kill()
      await this.ended
    }
    try {
      await Promise.race([this.ended, kill()])
    } finally {
      stopped.abort()
    }
  }

  /** Ends it at once. */
  kill(): void {
    if (this.isRunning) this.#child.kill('SIGKILL')
  }

  #followLog(): Promise<void> {
    return new Promise((resolve) => {
      createInterface({ input: this.#child.stderr! }).on('line', (line) => {
        this.#logLines.push(line)
        if (this.#logLines.length > limits.logLinesMax) this.#logLines.shift()
        if (line.includes('"msg":"ready"')) resolve()
      })
    })
  }
}
