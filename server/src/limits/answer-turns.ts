/** So many reads may begin in one turn before it is known how much those before them have brought. */
const beginAtOnceMax = 4

interface Waiter {
  readonly run: () => void
  next: Waiter | undefined
}

/** Those of one address who wait, in order. An array would keep the places of all who were ever served, while somebody waits. */
interface Line {
  first: Waiter
  last: Waiter
}

/** Those who wait, by turns of their addresses. */
class Lines {
  /** By address, whose turn is next first. None is empty. */
  readonly #lines = new Map<string, Line>()

  get empty(): boolean {
    return this.#lines.size === 0
  }

  add(address: string, run: () => void): void {
    const line = this.#lines.get(address)
    const waiter: Waiter = { run, next: undefined }
    if (line === undefined) this.#lines.set(address, { first: waiter, last: waiter })
    else {
      line.last.next = waiter
      line.last = waiter
    }
  }

  /** Whose turn it is; undefined: nobody waits. */
  take(): (() => void) | undefined {
    const [first] = this.#lines
    if (first === undefined) return undefined
    const [address, line] = first
    const { run, next } = line.first
    this.#lines.delete(address)
    if (next !== undefined) {
      line.first = next
      this.#lines.set(address, line)
    }
    return run
  }
}

/**
 * Spreads what is made for callers over turns of the event loop. Hundreds of calls may come in what is read at one time, and each
 * may ask for a megabyte: all of them would be read, and answered, before anybody else is heard, and before anybody is found out to
 * take nothing. Who waits is served by turns of addresses, so that nobody waits behind all that another has asked for.
 */
export class AnswerTurns {
  readonly #bytesMax: number
  readonly #answers = new Lines()
  readonly #reads = new Lines()
  /** What has been made in this turn. */
  #bytes = 0
  /** Reads that have begun in this turn when they came. */
  #begun = 0
  #scheduled = false

  /** `bytesMax`: with so many in one turn, the rest waits for the next. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** So many bytes of an answer have been made. */
  made(bytes: number): void {
    this.#bytes += bytes
    this.#schedule()
  }

  /** Calls `run`, which begins to read and must not throw: now or when it is its turn. */
  read(addressOf: () => string, run: () => void): void {
    this.#schedule()
    if (this.#reads.empty && this.#bytes < this.#bytesMax && this.#begun < beginAtOnceMax) {
      this.#begun++
      run()
    } else this.#reads.add(addressOf(), run)
  }

  /** Calls `run`, which makes an answer of what has been read and must not throw: now or when it is its turn, before any read. */
  answer(addressOf: () => string, run: () => void): void {
    if (this.#answers.empty && this.#bytes < this.#bytesMax) run()
    else {
      this.#answers.add(addressOf(), run)
      this.#schedule()
    }
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#bytes = 0
      this.#begun = 0
      this.#serve()
    })
  }

  #serve(): void {
    if (this.#answers.empty && this.#reads.empty) return
    if (this.#bytes >= this.#bytesMax) {
      this.#schedule()
      return
    }
    const run = this.#answers.take() ?? this.#reads.take()
    run?.()
    // When everybody has been told of the promises that it has kept, it is known what has been made for it.
    queueMicrotask(() => process.nextTick(() => this.#serve()))
  }
}
