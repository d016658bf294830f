import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { FloodReport, FloodSettings, Stretch } from './flood.js'

/** Whom a flood asks. */
export interface FloodOptions extends FloodSettings {
  readonly endpoints: readonly string[]
  /** Each with connections of its own. */
  readonly clients: number
  /** That each of them accepts at a time. */
  readonly maxInFlight: number
  /** That one operation may take. */
  readonly timeoutMs: number
}

/** What the process of a flood is told to do. */
export type FloodJob = ({ readonly kind: 'open' } & FloodOptions) | { readonly kind: 'run'; readonly stretch: Stretch }

/** What it has to say. */
export type FloodAnswer =
  | { readonly kind: 'opened' }
  | { readonly kind: 'ran'; readonly report: FloodReport }
  | { readonly kind: 'failed'; readonly message: string }

const program = fileURLToPath(new URL('./flood-worker.js', import.meta.url))

/**
 * A flood in a process of its own: what a client does that is asked for too much takes nothing from the event loop of
 * those that measure. The process ends when this is disposed of, and with this process.
 */
export class FloodProcess implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #signal: AbortSignal

  private constructor(child: ChildProcess, signal: AbortSignal) {
    this.#child = child
    this.#signal = signal
  }

  /** Resolves when the flood's keys are there. Rejects when they cannot be written, or with the reason of `signal`. */
  static async start(options: FloodOptions, signal: AbortSignal): Promise<FloodProcess> {
    // In a process group of its own: Ctrl-C in the terminal is for this process, which then ends the other.
    const child = fork(program, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], detached: true })
    const flood = new FloodProcess(child, signal)
    try {
      await flood.#perform({ kind: 'open', ...options })
      return flood
    } catch (error) {
      await flood[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Resolves when the stretch is over and all that was begun has ended. Rejects when the process ends, or with the reason of the signal. */
  async run(stretch: Stretch): Promise<FloodReport> {
    const answer = await this.#perform({ kind: 'run', stretch })
    if (answer.kind !== 'ran') throw new Error(`the flood answered a stretch with ${answer.kind}`)
    return answer.report
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }

  async #perform(job: FloodJob): Promise<FloodAnswer> {
    const answered = new AbortController()
    const signal = AbortSignal.any([this.#signal, answered.signal])
    const answer = once(this.#child, 'message', { signal })
    const ended = once(this.#child, 'exit', { signal }).then(([status, name]) => {
      throw new Error(`the process of the flood ended with ${status ?? name}`)
    })
    this.#child.send(job)
    try {
      const [first] = (await Promise.race([answer, ended])) as [FloodAnswer]
      if (first.kind === 'failed') throw new Error(`the flood: ${first.message}`)
      return first
    } catch (error) {
      this.#signal.throwIfAborted()
      throw error
    } finally {
      answered.abort()
      await Promise.allSettled([answer, ended])
    }
  }
}
