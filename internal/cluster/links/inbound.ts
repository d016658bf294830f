import type { PeerMessage, Topology } from '@quorumkv/proto/kv/peer/v1/messages'
import { limits } from '../../base/index.js'
import type { Clock, Link, Log, Timer } from '../../env/index.js'
import { type Envelope, PeerLink } from '../../replication/index.js'
import { type Greeting, greetingOf, judgeProof, type RefusalCode } from './handshake.js'

export interface InboundOptions {
  readonly clock: Clock
  readonly log: Log
  readonly envelope: Envelope
  /**
   * A link on which nothing is heard for this long is closed: its other end no longer exists. Until it has been greeted, that is
   * `limits.greetingMsMax` at most.
   */
  readonly silenceMaxMs: number
  readonly handlers: InboundHandlers
}

export interface InboundRefusal {
  readonly code: RefusalCode
  readonly message: string
  /** The topology that it goes by, where the other may not know it. */
  readonly topology?: Topology
}

export interface InboundHandlers {
  /** A greeting, the first or a later one. Returns the answer, or why the sender is refused. */
  greeted(greeting: Greeting, link: PeerLink): Greeting | InboundRefusal
  /** A link is gone, whether it was greeted or not. */
  ended?(link: PeerLink): void
  /** A message after the greeting. Returns why the link must end, or undefined. */
  message(message: PeerMessage, link: PeerLink): string | InboundRefusal | undefined
}

/** The links that other nodes have opened to this one. */
export class Inbound {
  readonly #options: InboundOptions
  readonly #links = new Set<PeerLink>()

  constructor(options: InboundOptions) {
    this.#options = options
  }

  accept(raw: Link): void {
    const { clock, envelope, log, silenceMaxMs } = this.#options
    let greeted = false
    let silence: Timer
    const expect = (withinMs: number): void => {
      silence = clock.setTimer(withinMs, () => link.close(`nothing heard for ${withinMs} ms`))
    }
    let heardMs = clock.monotonicMs()
    const link: PeerLink = new PeerLink(raw, clock, envelope, {
      message: (message) => {
        // Setting the timer again for every message would cost more than reading the clock.
        const nowMs = clock.monotonicMs()
        if (!greeted || nowMs - heardMs > silenceMaxMs / 4) {
          heardMs = nowMs
          silence.cancel()
          expect(silenceMaxMs)
        }
        greeted = this.#received(message, link, greeted)
      },
      close: (reason) => {
        silence.cancel()
        this.#links.delete(link)
        this.#options.handlers.ended?.(link)
        log.debug('inbound link ended', { remote: link.remote, reason })
      },
    })
    // Whoever had opened it may have died before it could greet, and nothing but this ever ends such a link: for one that
    // may be silent for long afterwards that would be as long.
    expect(Math.min(silenceMaxMs, limits.greetingMsMax))
    this.#links.add(link)
  }

  links(): Iterable<PeerLink> {
    return this.#links
  }

  close(reason: string): void {
    for (const link of this.#links) link.close(reason)
  }

  /** Returns whether the link has been greeted. */
  #received(message: PeerMessage, link: PeerLink, greeted: boolean): boolean {
    const { handlers } = this.#options
    if (message.hello !== undefined) {
      const answer =
        judgeProof(link.proved, message.hello) ?? handlers.greeted(greetingOf(message.hello, message.topology), link)
      if ('code' in answer) {
        this.#refuse(link, answer)
        return false
      }
      link.sendNow(answer)
    } else if (!greeted) {
      link.close('the first message is no greeting')
      return false
    }
    if (message.ping !== 0) link.outbox(0).addControl({ pong: message.ping })
    const objection = handlers.message(message, link)
    if (typeof objection === 'string') link.close(objection)
    else if (objection !== undefined) this.#refuse(link, objection)
    return true
  }

  #refuse(link: PeerLink, { code, message, topology }: InboundRefusal): void {
    const { log } = this.#options
    // Who waits asks again and again.
    if (code === 'wait') log.debug('a node was told to wait', { remote: link.remote, message })
    else log.warn('a node was refused', { remote: link.remote, code, message })
    link.sendNow({ refusal: { code, message }, topology })
    link.close(`refused: ${message}`)
  }
}
