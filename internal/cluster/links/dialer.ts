import type { Hello, PeerMessage, Refusal, Topology } from '@quorumkv/proto/kv/peer/v1/messages'
import type { Address, Instruments, NodeId } from '../../base/index.js'
import type { Channel, Clock, Link, Log, Network, Random } from '../../env/index.js'
import { type Envelope, PeerLink } from '../../replication/index.js'
import { Heartbeat } from '../gossip/heartbeat.js'
import { type Greeting, greetingOf, judgeProof } from './handshake.js'

/** What all calls of a node have in common. */
export interface LinkOptions {
  readonly clock: Clock
  readonly random: Random
  readonly network: Network
  readonly log: Log
  readonly instruments: Instruments
  readonly envelope: Envelope
  readonly probeIntervalMs: number
  readonly probeTimeoutMs: number
}

export interface DialerOptions extends LinkOptions {
  /** What its links are for. */
  readonly channel: Channel
  readonly address: Address
  readonly handlers: DialerHandlers
}

export interface DialerHandlers {
  /** What to say of ourselves. */
  greeting(): Greeting
  /** The other side's first answer. Returns why the link must end, or undefined: welcome. */
  greeted(greeting: Greeting, link: PeerLink): string | undefined
  /** Everything after that; later hellos included. Returns why the link must end, or undefined. */
  message(message: PeerMessage, link: PeerLink): string | undefined
  /** The other side will not talk to us; it may hand over the topology that it goes by. */
  refused(refusal: Refusal, topology: Topology | undefined): void
  /** A welcomed link is gone. */
  lost(link: PeerLink, reason: string): void
  /** No call is made any more, the last one has brought no link, or that was refused by either side, at first or later. */
  unreached?(): void
}

/** One that was sent. */
interface Ping {
  readonly number: number
  readonly atMs: number
  readonly to: NodeId
}

/** How a connection has ended. */
interface SessionEnd {
  readonly welcomed: boolean
  /** By either side, before or after it was welcomed. */
  readonly refused: boolean
  readonly reason: string
}

const backoffMinMs = 50
const backoffMaxMs = 1_000

/** Keeps one link to an address open: dials, greets, watches its life, and dials again when it breaks. */
export class Dialer {
  readonly address: Address
  readonly #options: DialerOptions
  #stopped = false
  #link: PeerLink | undefined
  #wake: (() => void) | undefined
  #obstacle = ''

  constructor(options: DialerOptions) {
    this.address = options.address
    this.#options = options
  }

  /** The link, from the greeting on. */
  get link(): PeerLink | undefined {
    return this.#link
  }

  /** Why the last call came to nothing; empty: it did not, or has not ended yet. */
  get obstacle(): string {
    return this.#obstacle
  }

  /** Resolves after `stop()`. */
  async run(): Promise<void> {
    let backoffMs = backoffMinMs
    while (!this.#stopped) {
      const { clock, random, log } = this.#options
      const startedMs = clock.monotonicMs()
      const { welcomed, refused, reason } = await this.#session()
      if (this.#stopped || !welcomed || refused) this.#options.handlers.unreached?.()
      if (this.#stopped) return
      this.#obstacle = welcomed ? '' : reason
      log.debug('link ended', { address: this.address, reason })
      const lasted = clock.monotonicMs() - startedMs > backoffMaxMs
      backoffMs = welcomed && lasted ? backoffMinMs : Math.min(backoffMs * 2, backoffMaxMs)
      await this.#pause(backoffMs * (0.5 + random.float() / 2))
    }
  }

  /** There is reason to believe that the other side can be reached: a pause before the next call ends. */
  hasten(): void {
    this.#wake?.()
  }

  stop(): void {
    this.#stopped = true
    this.#link?.close('stopping')
    this.#wake?.()
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.setTimer(delayMs, resolve)
      this.#wake = () => {
        timer.cancel()
        this.#wake = undefined
        resolve()
      }
    })
  }

  /** One connection, from dialling to its end. */
  async #session(): Promise<SessionEnd> {
    const { channel, network, probeIntervalMs, probeTimeoutMs } = this.#options
    let raw: Link
    try {
      raw = await network.connect(this.address, channel, probeIntervalMs + probeTimeoutMs)
    } catch (error) {
      return { welcomed: false, refused: false, reason: error instanceof Error ? error.message : String(error) }
    }
    return new Promise((resolve) => this.#greet(raw, resolve))
  }

  /** Another node than it says answers, or one of another cluster. */
  #objectionToProof(hello: Hello, { proved }: PeerLink): string | undefined {
    const refused = judgeProof(proved, hello)
    if (refused === undefined) return undefined
    this.#options.log.warn('a node is not who it has proved to be', { address: this.address, message: refused.message })
    return `refused here: ${refused.message}`
  }

  /** The time until a ping was answered counts where operations go, and not where they wait behind what is large. */
  #answered({ to, atMs }: Ping): void {
    const { channel, clock, instruments } = this.#options
    if (channel === 'requests') instruments.member(to).rttUs = Math.round((clock.monotonicMs() - atMs) * 1_000)
  }

  #greet(raw: Link, ended: (end: SessionEnd) => void): void {
    const { clock, envelope, handlers, probeIntervalMs, probeTimeoutMs } = this.#options
    let welcomed = false
    let refused = false
    let heartbeat: Heartbeat | undefined
    let pinged: Ping | undefined
    const silence = clock.setTimer(probeIntervalMs + probeTimeoutMs, () => link.close('no greeting'))
    const greeted = (greeting: Greeting): string | undefined => {
      const objection = handlers.greeted(greeting, link)
      if (objection !== undefined) return objection
      silence.cancel()
      welcomed = true
      heartbeat = new Heartbeat({
        clock,
        intervalMs: probeIntervalMs,
        timeoutMs: probeTimeoutMs,
        ping: (number) => {
          link.outbox(0).addControl({ ping: number })
          pinged = { number, atMs: clock.monotonicMs(), to: greeting.hello.nodeId as NodeId }
        },
        dead: () => link.close(`no answer for ${probeTimeoutMs} ms`),
      })
      return undefined
    }
    const link: PeerLink = new PeerLink(raw, clock, envelope, {
      message: (message) => {
        heartbeat?.heard()
        if (message.pong !== 0 && message.pong === pinged?.number) this.#answered(pinged)
        const { refusal, hello, topology } = message
        if (refusal !== undefined) handlers.refused(refusal, topology)
        let objection = refusal === undefined ? undefined : `refused: ${refusal.message}`
        if (hello !== undefined) objection ??= this.#objectionToProof(hello, link)
        if (objection === undefined && !welcomed) {
          objection = hello === undefined ? 'the first message is no greeting' : greeted(greetingOf(hello, topology))
        }
        if (objection === undefined) objection = handlers.message(message, link)
        if (objection === undefined) return
        refused = true
        link.close(objection)
      },
      close: (reason) => {
        silence.cancel()
        heartbeat?.stop()
        this.#link = undefined
        if (welcomed) handlers.lost(link, reason)
        ended({ welcomed, refused, reason })
      },
    })
    this.#link = link
    if (this.#stopped) link.close('stopping')
    else link.sendNow(handlers.greeting())
  }
}
