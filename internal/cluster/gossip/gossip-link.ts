import type { Hello, PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { limits } from '../../base/index.js'
import type { Clock, Link } from '../../env/index.js'
import { type Envelope, PeerLink } from '../../replication/index.js'
import { type Greeting, judgeProof } from '../links/handshake.js'

/** One way to a member for gossip, in whichever direction it was opened, with what is known of its life. */
export class GossipLink {
  readonly link: PeerLink
  /** Of the other end's process. */
  readonly life: string
  #usedMs: number
  /** Since when the other end owes an answer. */
  #askedMs: number | undefined
  #ended = false
  #second = 0
  #heardInSecond = 0

  constructor(link: PeerLink, life: string, nowMs: number) {
    this.link = link
    this.life = life
    this.#usedMs = nowMs
  }

  /** Whether something sent on it may arrive. */
  get open(): boolean {
    return this.link.open && !this.#ended
  }

  /** A link learns of its own end later than the call: nothing is to be sent on it from here on. */
  close(reason: string): void {
    this.#ended = true
    this.link.close(reason)
  }

  /** Nothing was said on it for so long. */
  idleMs(nowMs: number): number {
    return nowMs - this.#usedMs
  }

  /** How long a question has been waiting for any sign of life. */
  silentMs(nowMs: number): number {
    return this.#askedMs === undefined ? 0 : nowMs - this.#askedMs
  }

  /** What has no room is lost, as gossip may be. `asks`: the other end answers at once, on this link. */
  send(nowMs: number, part: Partial<PeerMessage>, asks: boolean): void {
    if (this.link.queuedBytes > limits.gossipUnsentBytesMax) return
    this.#usedMs = nowMs
    if (asks) this.#askedMs ??= nowMs
    this.link.sendNow(part)
  }

  /** A message has come. Returns whether there is time for it: nobody gets more than their share. */
  heard(nowMs: number): boolean {
    this.#usedMs = nowMs
    this.#askedMs = undefined
    const second = Math.floor(nowMs / 1000)
    if (second !== this.#second) [this.#second, this.#heardInSecond] = [second, 0]
    return ++this.#heardInSecond <= limits.gossipReceivedPerSecondMax
  }
}

export interface GossipCallOptions {
  readonly clock: Clock
  readonly envelope: Envelope
  readonly greeting: Greeting
  /** How long the other side may take to greet. */
  readonly timeoutMs: number
  /** The first answer. Returns why the link must end, or undefined: welcome. */
  greeted(hello: Hello, link: PeerLink): string | undefined
  /** Everything after that. Returns why the link must end, or undefined. */
  message(message: PeerMessage, link: PeerLink): string | undefined
  /** Called once. */
  ended(link: PeerLink, reason: string): void
}

/** Greets whoever is at the other end of a link that this node has opened, and listens. */
export function callForGossip(raw: Link, options: GossipCallOptions): void {
  const { clock, envelope, greeting, timeoutMs } = options
  let welcomed = false
  const silence = clock.setTimer(timeoutMs, () => link.close('no greeting'))
  const judge = (message: PeerMessage): string | undefined => {
    if (message.refusal !== undefined) return `refused: ${message.refusal.message}`
    if (welcomed) return options.message(message, link)
    if (message.hello === undefined) return 'the first message is no greeting'
    const objection = judgeProof(link.proved, message.hello)?.message ?? options.greeted(message.hello, link)
    if (objection !== undefined) return objection
    silence.cancel()
    welcomed = true
    return options.message(message, link)
  }
  const link: PeerLink = new PeerLink(raw, clock, envelope, {
    message: (message) => {
      const objection = judge(message)
      if (objection !== undefined) link.close(objection)
    },
    close: (reason) => {
      silence.cancel()
      options.ended(link, reason)
    },
  })
  link.sendNow(greeting)
}
