import { Worker } from 'node:worker_threads'

/** A case that has not come back after this long never does. */
const patienceMs = 30_000

const program = `
const { workerData } = require('node:worker_threads')
const { writeSync } = require('node:fs')
const state = new Int32Array(workerData.state)
let seen = -1
let sinceMs = Date.now()
setInterval(() => {
  const turn = Atomics.load(state, 0)
  if (turn !== seen || Atomics.load(state, 1) === 0) {
    seen = turn
    sinceMs = Date.now()
  } else if (Date.now() - sinceMs > workerData.patienceMs) {
    const length = Atomics.load(state, 1) - 1
    const input = Buffer.from(workerData.input).subarray(0, length)
    const name = Buffer.from(workerData.name).toString('utf8').replace(/\\0+$/, '')
    writeSync(2, 'fuzz: ' + name + ' has not come back for ' + workerData.patienceMs + ' ms: ' + input.toString('hex') + '\\n')
    process.kill(process.pid, 'SIGKILL')
  }
}, 1000)
`

/**
 * Ends the process, and says of which case, where one never comes back: code that loops for ever lets nothing else of its
 * thread run, so this has a thread of its own.
 */
export class Watchdog {
  readonly #state: Int32Array<SharedArrayBuffer> = new Int32Array(new SharedArrayBuffer(8))
  readonly #input: Uint8Array<SharedArrayBuffer>
  readonly #name: Uint8Array<SharedArrayBuffer> = new Uint8Array(new SharedArrayBuffer(256))
  readonly #worker: Worker

  constructor(inputBytesMax: number) {
    this.#input = new Uint8Array(new SharedArrayBuffer(inputBytesMax))
    const workerData = { state: this.#state.buffer, input: this.#input.buffer, name: this.#name.buffer, patienceMs }
    this.#worker = new Worker(program, { eval: true, workerData })
    this.#worker.unref()
  }

  /** A case begins. */
  begin(name: string, input: Uint8Array): void {
    this.#name.fill(0)
    this.#name.set(new TextEncoder().encode(name).subarray(0, this.#name.length))
    const length = Math.min(input.length, this.#input.length)
    this.#input.set(input.subarray(0, length))
    Atomics.add(this.#state, 0, 1)
    Atomics.store(this.#state, 1, length + 1)
  }

  /** It has ended. */
  end(): void {
    Atomics.store(this.#state, 1, 0)
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}
