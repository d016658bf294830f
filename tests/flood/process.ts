import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { reap } from '../reaper.js'
import type { Answer } from './jobs.js'

/** Another process of the flood, as `tsc -b` made it: what it does takes nothing from the event loop of the others. */
export class Helper<Job extends object, Value> implements AsyncDisposable {
  readonly #name: string
  readonly #child: ChildProcess

  /** `name`: of the folder with its program. */
  constructor(name: string) {
    this.#name = name
    const program = fileURLToPath(new URL(`../dist/flood/${name}/main.js`, import.meta.url))
    this.#child = fork(program, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    reap(this.#child)
  }

  /** Resolves when it has done the job. Rejects when it fails, or its process ends, or `withinMs` are over. */
  async perform(job: Job, withinMs: number): Promise<Value> {
    const answered = new AbortController()
    const signal = AbortSignal.any([AbortSignal.timeout(withinMs), answered.signal])
    const answer = once(this.#child, 'message', { signal })
    const ended = once(this.#child, 'exit', { signal }).then(([status, name]) => {
      throw new Error(`the process of ${this.#name} ended with ${status ?? name}`)
    })
    this.#child.send(job)
    try {
      const [first] = (await Promise.race([answer, ended])) as [Answer<Value>]
      if ('failure' in first) throw new Error(`${this.#name}: ${first.failure}`)
      return first.value
    } finally {
      answered.abort()
      await Promise.allSettled([answer, ended])
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }
}
