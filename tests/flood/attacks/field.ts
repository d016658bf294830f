import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'

/** Whom to attack, and how much. */
export interface Order {
  readonly attack: string
  readonly grpcPort: number
  readonly httpPort: number
  /** Whether the ports speak TLS. */
  readonly tls: boolean
  readonly size: number
  readonly holdMs: number
  /** What has not been sent by then is not sent. */
  readonly deadlineMs: number
  /** A key that is there, and has a value of 1 MiB. */
  readonly bigKey: string
}

/** What an attack came to. */
export interface Outcome {
  /** Of `size`. */
  readonly sent: number
  readonly seconds: number
  /** What the attacker was told or saw happen, and how often. */
  readonly told: Readonly<Record<string, number>>
}

interface Ends {
  destroy(): unknown
}

/** Where one attack takes place: whom it is against, and what it has come to so far. */
export class Field {
  readonly order: Order
  readonly #told = new Map<string, number>()
  readonly #opened = new Set<Ends>()
  readonly #waiting = new Set<() => void>()
  #over = false
  readonly #startedMs = performance.now()
  readonly #timer: NodeJS.Timeout
  /** Set when it is over. */
  #seconds: number | undefined
  sent = 0

  constructor(order: Order) {
    this.order = order
    this.#timer = setTimeout(() => this.#stop(), order.deadlineMs)
  }

  /** Whether its time is over. */
  get over(): boolean {
    return this.#over
  }

  /** What happens after its end is its own doing. */
  tell(what: string, times = 1): void {
    if (this.#seconds !== undefined) return
    this.#told.set(what, (this.#told.get(what) ?? 0) + times)
  }

  /** What is opened is closed at the end. */
  own<T extends Ends>(opened: T): T {
    this.#opened.add(opened)
    return opened
  }

  /** It is closed already. */
  disown(opened: Ends): void {
    this.#opened.delete(opened)
  }

  /**
   * A connection from the attackers' own address: honest callers come from another. Where the ports speak TLS it does, unless it is to be
   * `bare`; whose certificate is shown is nothing to attackers.
   */
  socket(port: number, localAddress = '127.0.0.2', bare = false): Socket {
    const to = { host: '127.0.0.1', port, localAddress }
    const { tls, grpcPort } = this.order
    const protocols = [port === grpcPort ? 'h2' : 'http/1.1']
    const socket = this.own(
      tls && !bare ? connectTls({ ...to, ALPNProtocols: protocols, rejectUnauthorized: false }) : connect(to),
    )
    socket.on('error', (error: NodeJS.ErrnoException) => this.tell(error.code ?? error.message))
    socket.once('close', () => this.disown(socket))
    return socket
  }

  /** With what a connection says that it is there. */
  get connected(): 'connect' | 'secureConnect' {
    return this.order.tls ? 'secureConnect' : 'connect'
  }

  /** Waits until something has happened, or the attack's time is over. Never rejects. */
  async until(happens: Promise<unknown>): Promise<void> {
    if (this.over) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done)
        resolve()
      }
      this.#waiting.add(done)
      happens.then(done, done)
    })
  }

  /** Keeps what has been built up, unless the node ends all of it before. */
  async hold(ended: Promise<unknown> = new Promise(() => undefined)): Promise<void> {
    await this.until(Promise.race([ended, sleep(this.order.holdMs)]))
  }

  /** Gives the event loop a turn: answers are to be seen. */
  async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** Closes everything. Idempotent. */
  close(): void {
    clearTimeout(this.#timer)
    this.#stop()
    this.#seconds ??= (performance.now() - this.#startedMs) / 1_000
    for (const opened of this.#opened) opened.destroy()
    this.#opened.clear()
  }

  #stop(): void {
    this.#over = true
    for (const done of this.#waiting) done()
  }

  /** What it came to, up to its end. */
  get outcome(): Outcome {
    const seconds = this.#seconds ?? (performance.now() - this.#startedMs) / 1_000
    return { sent: this.sent, seconds, told: Object.fromEntries(this.#told) }
  }
}
