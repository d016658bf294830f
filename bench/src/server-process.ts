import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { limits } from './limits.js'

/** A server did not start, or ended when it should not have. */
export class ServerError extends Error {
  override readonly name = 'ServerError'
}

/** How a server is started, and how it says that it serves. */
export interface ServerSpec {
  /** Its name in reports, unlike that of the others. */
  readonly id: string
  /** Where it serves clients, `host:port`. */
  readonly address: string
  /** The program, found as the shell would find it. */
  readonly command: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Found in the first line of its output that says that it serves. */
  readonly readyText: string
}

/** The environment without what begins with `prefix`: what a user has set for servers of theirs must not change what is measured. */
export function environmentWithout(prefix: string): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith(prefix)))
}

/** A server as a process of its own. */
export class ServerProcess {
  readonly id: string
  readonly address: string
  /** Resolves when the process has ended or could not be started, with what happened in words. Never rejects. */
  readonly ended: Promise<string>
  readonly #child: ChildProcess
  readonly #becameReady: Promise<void>
  readonly #logLines: string[] = []

  /** Starts the process. Failures to do so show in `ready` and `ended`. */
  constructor(spec: ServerSpec) {
    this.id = spec.id
    this.address = spec.address
    // In a process group of its own: Ctrl-C in the terminal is for the benchmark, which then stops its servers.
    this.#child = spawn(spec.command, spec.args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(spec.env !== undefined && { env: spec.env }),
      detached: true,
    })
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(`could not be started: ${error.message}`))
      this.#child.once('close', (status, signal) => resolve(`ended with ${status ?? signal}`))
    })
    this.#becameReady = new Promise((resolve) => {
      for (const output of [this.#child.stdout!, this.#child.stderr!]) this.#follow(output, spec.readyText, resolve)
    })
  }

  /** Undefined where the process could not be started. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  get isRunning(): boolean {
    return this.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** The last lines that it has written. */
  get logTail(): string {
    return this.#logLines.join('\n')
  }

  /** Resolves when it serves. Rejects with ServerError when it has ended or takes too long, or with the signal's reason. */
  async ready(signal: AbortSignal, readyMs: number = limits.nodeReadyMs): Promise<void> {
    const settled = new AbortController()
    const late = async (): Promise<never> => {
      await delay(readyMs, undefined, { signal: settled.signal })
      throw this.failure(`was not ready within ${readyMs / 1000} s`)
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

  /** An error that says what happened to this server, with the end of its log. */
  failure(what: string): ServerError {
    return new ServerError(`${this.id} ${what}; its log ends with:\n${this.logTail}`)
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

  #follow(output: Readable, readyText: string, becameReady: () => void): void {
    createInterface({ input: output }).on('line', (line) => {
      this.#logLines.push(line)
      if (this.#logLines.length > limits.logLinesMax) this.#logLines.shift()
      if (line.includes(readyText)) becameReady()
    })
  }
}
