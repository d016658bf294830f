import { Readable } from 'node:stream'
import type { KvClientOptions } from '@quorumkv/client'
import type { Command } from 'commander'
import type { Client, Connect, Context, Execute, GlobalOptions, OutputForm } from '../context.js'
import { formatDuration } from '../duration.js'
import { exitStatus, UsageError } from '../exit.js'
import type { Interrupt, Io } from '../io.js'
import { write } from '../output.js'
import { tlsArguments } from '../tls-options.js'
import { registerInside } from './commands.js'
import { interruptible } from './interruptible-client.js'

/** Registers commands of its own, or those that only make sense outside of the shell. */
export type Register = (program: Command, execute: Execute) => void

/** `run` of the program, which the shell calls for every line. */
export type RunLine = (argv: readonly string[], io: Io, connect: Connect, register: Register) => Promise<number>

/** What the shell's `set` changes, for all commands after it. */
export interface ShellSettings {
  consistency: GlobalOptions['consistency']
  output: OutputForm | undefined
  timeoutMs: number | undefined
  timing: boolean
}

/** As in psql: typed as a backslash and `timing`, of which the escape `\t` is a tab. */
const timingWord = '\timing'

/**
 * Runs one command line after another with one client. Every line is what could stand behind `kv`: the same commands, options,
 * errors and statuses, and some more commands (`commands.ts`). Nothing that a line does ends the shell, except `exit`.
 */
export class Shell {
  readonly settings: ShellSettings
  readonly #context: Context
  readonly #run: RunLine
  readonly #clients = new Map<string, Client>()
  /** Of the command that runs: what Ctrl-C does. */
  #interrupt: ((signal: Interrupt) => void) | undefined
  /** What the shell ends with: the status of the first command that failed. */
  status: number = exitStatus.done
  /** `exit` was said, or SIGTERM came. */
  ended = false
  /** How a person is asked, while a command runs; undefined: nobody can be. */
  ask: ((question: string) => Promise<string>) | undefined

  constructor(context: Context, run: RunLine) {
    this.#context = context
    this.#run = run
    const { consistency, output, timeoutMs } = context.options
    this.settings = { consistency, output, timeoutMs, timing: false }
  }

  /** What `kv` gave the shell to work with. */
  get context(): Context {
    return this.#context
  }

  /** The client of all commands that name no other endpoints. Throws where an endpoint is malformed. */
  get client(): Client {
    return this.#shared({})
  }

  /** Runs one command. Resolves to its status, whatever becomes of it; only a closed output rejects. */
  async evaluate(words: readonly string[]): Promise<number> {
    if (words.length === 0) return exitStatus.done
    const { io, colours } = this.#context
    const timing = this.settings.timing ? 'off' : 'on'
    const command = words[0] === timingWord ? ['set', 'timing', words[1] ?? timing] : words
    const beganMs = io.timing.monotonic()
    const status = await this.#interruptibly(command)
    this.failed(status)
    if (this.settings.timing) {
      await write(io.stderr, colours.dim(`(${formatDuration(io.timing.monotonic() - beganMs)})\n`))
    }
    return status
  }

  /** Notes the status of a command, or of a line that was none: the first failure decides what the shell ends with. */
  failed(status: number): void {
    if (this.status === exitStatus.done) this.status = status
  }

  /** As the program's options, in front of every line. */
  #globals(): string[] {
    const { consistency, output, timeoutMs } = this.settings
    const { tokenFile, insecure, tls } = this.#context.options
    return [
      `--endpoints=${this.#context.options.endpoints.join(',')}`,
      ...(consistency === undefined ? [] : [`--consistency=${consistency}`]),
      ...(output === undefined ? [] : [`--output=${output}`]),
      ...(timeoutMs === undefined ? [] : [`--timeout=${timeoutMs}`]),
      ...(tokenFile === undefined ? [] : [`--token-file=${tokenFile}`]),
      ...(insecure ? ['--insecure'] : []),
      ...tlsArguments(tls),
    ]
  }

  /**
   * Ctrl-C cancels the calls of the command; one that has an answer of its own to Ctrl-C (an import, a watch) gets that. The
   * second one leaves it behind: what it still has under way is not waited for.
   */
  async #interruptibly(words: readonly string[]): Promise<number> {
    const cancelling = new AbortController()
    const own = new Set<(signal: Interrupt) => void>()
    let times = 0
    let leave: (status: number) => void = () => undefined
    const left = new Promise<number>((resolve) => {
      leave = resolve
    })
    this.#interrupt = (signal) => {
      if (signal === 'SIGTERM') this.ended = true
      times += 1
      if (times > 1 || own.size === 0) cancelling.abort()
      for (const handler of own) handler(signal)
      if (times > 1) leave(exitStatus.interrupted)
    }
    const forget = this.#context.io.onInterrupt(this.#interrupt)
    const io = this.#ioOf(own, leave)
    const connect: Connect = (options) => interruptible(this.#shared(options), cancelling.signal)
    try {
      const running = this.#run([...this.#globals(), ...words], io, connect, (program, execute) =>
        registerInside(program, execute, this),
      )
      const status = await Promise.race([running, left])
      return cancelling.signal.aborted ? exitStatus.interrupted : status
    } finally {
      forget()
      this.#interrupt = undefined
    }
  }

  #ioOf(own: Set<(signal: Interrupt) => void>, leave: (status: number) => void): Io {
    const { io } = this.#context
    const ask = this.ask
    return {
      ...{ stdout: io.stdout, stderr: io.stderr, env: io.env, timing: io.timing },
      disk: (directory) => io.disk(directory),
      stdin: notTheShells(),
      shared: true,
      ...(ask === undefined ? {} : { ask }),
      onInterrupt: (handler) => {
        own.add(handler)
        return () => own.delete(handler)
      },
      exitNow: leave,
    }
  }

  /** Commands with the same options share a client, and with it its connections; the program closes them at its end. */
  #shared(options: Partial<KvClientOptions>): Client {
    const { endpoints = this.#context.options.endpoints, connectTimeoutMs, tokenFile } = options
    const name = JSON.stringify([endpoints, connectTimeoutMs, tokenFile])
    let client = this.#clients.get(name)
    if (client === undefined) {
      // Consistency and time come with each call: they may change from one line to the next.
      client = this.#context.connect({ ...options, endpoints, consistency: undefined, timeoutMs: undefined })
      this.#clients.set(name, client)
    }
    return client
  }
}

/** Standard input is where commands come from: none of them may eat the next ones. */
function notTheShells(): Readable {
  return new Readable({
    read() {
      this.destroy(
        new UsageError(
          'VALUE',
          'standard input belongs to the shell: give the value in quotes, or in lines behind <<END',
        ),
      )
    },
  })
}
