import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Measurement } from './store-report.js'
import type { Answer, Job, Task } from './store-task.js'

const program = fileURLToPath(new URL('./store-worker.js', import.meta.url))

/**
 * Runs tasks, each in a process of its own, one at a time, on stores below one temporary directory. When it is disposed
 * of nothing of that is left; nor when this process ends, unless it is killed with SIGKILL.
 */
export class TaskRunner implements AsyncDisposable {
  readonly #directory: string
  readonly #seed: string
  readonly #signal: AbortSignal
  #child: ChildProcess | undefined
  readonly #endNow = (): void => {
    this.#child?.kill('SIGKILL')
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 })
  }

  private constructor(directory: string, seed: string, signal: AbortSignal) {
    this.#directory = directory
    this.#seed = seed
    this.#signal = signal
    process.on('exit', this.#endNow)
  }

  /** Makes the directory, below `parentDirectory`. `signal` ends what runs. */
  static async create(parentDirectory: string, seed: string, signal: AbortSignal): Promise<TaskRunner> {
    return new TaskRunner(await mkdtemp(join(parentDirectory, 'quorumkv-bench-store-')), seed, signal)
  }

  /**
   * Runs the tasks one after the other on one directory, which is empty at first and removed at the end. Rejects when
   * one of them fails, or with the signal's reason.
   */
  async run(tasks: readonly Task[]): Promise<Measurement[]> {
    const directory = join(this.#directory, 'store')
    await mkdir(directory)
    const measurements: Measurement[] = []
    for (const task of tasks) measurements.push(...(await this.#perform({ task, directory, seed: this.#seed })))
    await rm(directory, { recursive: true })
    return measurements
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
    process.off('exit', this.#endNow)
  }

  async #perform(job: Job): Promise<readonly Measurement[]> {
    this.#signal.throwIfAborted()
    // In a process group of its own: Ctrl-C in the terminal is for this process, which then ends the other.
    const child = fork(program, {
      execArgv: [...process.execArgv, '--expose-gc'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      detached: true,
    })
    this.#child = child
    const kill = (): boolean => child.kill('SIGKILL')
    this.#signal.addEventListener('abort', kill)
    try {
      let answer: Answer | undefined
      child.once('message', (message) => {
        answer = message as Answer
      })
      const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
      child.send(job)
      const [status, signal] = await ended
      this.#signal.throwIfAborted()
      if (answer === undefined) throw new Error(`${job.task.kind}: the process ended with ${status ?? signal}`)
      if ('failure' in answer) throw new Error(`${job.task.kind}: ${answer.failure}`)
      return answer.measurements
    } finally {
      this.#child = undefined
      this.#signal.removeEventListener('abort', kill)
    }
  }
}
