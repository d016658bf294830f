import { assert, KvError, parseAddress } from '../base/index.js'
import type { Channel, Link, Listener, Network } from '../env/index.js'
import { SimLink, type Wire } from './link.js'
import type { SimRandom } from './random.js'
import { type EventOwner, neverSettles, nobody, type Scheduler } from './scheduler.js'

export interface NetworkOptions {
  /** One way, in virtual milliseconds: a uniform choice for each message. Default 0.05 to 0.5. */
  readonly latencyMs?: readonly [number, number]
}

/** `up`: answers, if only that nobody listens. `gone`: silent, as after a power cut. */
type HostState = 'up' | 'gone'

/** How `cutLinks` breaks them: both ends are told, or the first one only, and the other one talks to nobody. */
export type CutMode = 'both' | 'first'

interface BoundListener {
  readonly host: string
  readonly owner: EventOwner
  readonly accept: (link: Link, channel: Channel) => void
}

interface ConnectAttempt {
  readonly host: string
  readonly owner: EventOwner
  readonly address: string
  readonly channel: Channel
  ended: boolean
  /** Settles the promise of `connect`, once. */
  readonly end: (error: KvError | undefined, link?: SimLink) => void
}

/** A lost request to connect is repeated after this. */
const connectRetryMs = 1000

const firstFreePort = 49_152

/** The simulated network: who listens, who is linked, and what is wrong between them. Faults are set by tests. */
export class SimNetwork {
  readonly #scheduler: Scheduler
  readonly #random: SimRandom
  readonly #latencyMs: readonly [number, number]
  readonly #wire: Wire
  readonly #hosts = new Map<string, HostState>()
  readonly #listeners = new Map<string, BoundListener>()
  readonly #links = new Set<SimLink>()
  readonly #groups = new Map<string, number>()
  readonly #cuts = new Set<string>()
  readonly #extraDelayMs = new Map<string, number>()
  #breakProbability = 0
  #nextPort = firstFreePort

  constructor(scheduler: Scheduler, random: SimRandom, options: NetworkOptions = {}) {
    this.#scheduler = scheduler
    this.#random = random
    this.#latencyMs = options.latencyMs ?? [0.05, 0.5]
    this.#wire = {
      scheduler,
      reaches: (from, to) => this.#reaches(from, to),
      latencyMs: (from, to) => this.#delayMs(from, to),
      breaksNow: () => this.#breakProbability > 0 && this.#random.chance(this.#breakProbability),
      closed: (link) => this.#forget(link),
    }
  }

  /** The network as one life of a process sees it; `host` is the first part of its addresses. */
  attach(host: string, owner: EventOwner): Network {
    this.#hosts.set(host, 'up')
    // What other hosts still send to a former life is answered now: nobody knows that link.
    for (const link of this.#links) if (link.host === host) link.peer.outgoing.retry()
    return {
      connect: (address, channel, timeoutMs) => this.#connect(host, owner, address, channel, timeoutMs),
      listen: (address, accept) => this.#listen(host, owner, address, accept),
    }
  }

  /**
   * Processes in different groups cannot reach each other; those in no group reach everybody. Replaces the partition
   * before. Links live on, but what is sent over them waits: it arrives when the partition heals, or the link breaks
   * after 20 s.
   */
  partition(groups: readonly (readonly string[])[]): void {
    this.#groups.clear()
    for (const [index, group] of groups.entries()) for (const host of group) this.#groups.set(host, index)
    this.#retryAll()
  }

  /** Nothing from one process arrives at the other any more; the way back is as it was. */
  cut(from: string, to: string): void {
    this.#cuts.add(pathKey(from, to))
  }

  /** Ends partitions and cuts, and what waited is delivered. Added delays stay. */
  heal(): void {
    this.#groups.clear()
    this.#cuts.clear()
    this.#retryAll()
  }

  /** What goes from one process to the other takes so much longer; 0 ends it. */
  setExtraDelayMs(from: string, to: string, delayMs: number): void {
    assert(delayMs >= 0, 'a message cannot arrive before it is sent')
    this.#extraDelayMs.set(pathKey(from, to), delayMs)
  }

  /** Each message breaks its link with this probability instead of arriving. */
  setBreakProbability(probability: number): void {
    this.#breakProbability = probability
  }

  /** Breaks all links between two processes, either one's way; what was on its way is lost. */
  cutLinks(first: string, second: string, mode: CutMode = 'both'): void {
    for (const link of [...this.#links]) {
      if (link.host !== first || link.peer.host !== second) continue
      link.fail('connection lost', 0)
      if (mode === 'both') link.peer.fail('connection lost', 0)
      else link.peer.outgoing.mute()
    }
  }

  /** How many ends of links there are, half-open ones included. */
  get linkEnds(): number {
    let ends = 0
    for (const link of this.#links) if (!link.isClosed) ends++
    return ends
  }

  /** A process has died. `reset`: its kernel lives and closes its links; `silent`: its machine is gone. @internal */
  hostDied(host: string, owner: EventOwner, manner: 'reset' | 'silent'): void {
    this.#hosts.set(host, manner === 'reset' ? 'up' : 'gone')
    for (const [address, listener] of this.#listeners) {
      if (listener.owner === owner) this.#listeners.delete(address)
    }
    for (const link of [...this.#links]) {
      if (link.owner !== owner) continue
      // What it had sent still arrives, or not: a kernel that finds unread data drops what it has.
      const lost = this.#random.chance(0.5)
      if (lost) link.outgoing.clear()
      if (manner === 'reset') link.outgoing.pushClose('the other side died')
      link.peer.outgoing.retry()
      this.#forget(link)
    }
  }

  #reaches(from: string, to: string): boolean {
    if (this.#hosts.get(to) !== 'up') return false
    const fromGroup = this.#groups.get(from)
    const toGroup = this.#groups.get(to)
    if (fromGroup !== undefined && toGroup !== undefined && fromGroup !== toGroup) return false
    return this.#cuts.size === 0 || !this.#cuts.has(pathKey(from, to))
  }

  #delayMs(from: string, to: string): number {
    const [low, high] = this.#latencyMs
    const extraMs = this.#extraDelayMs.size === 0 ? 0 : (this.#extraDelayMs.get(pathKey(from, to)) ?? 0)
    return this.#random.between(low, high) + extraMs
  }

  #retryAll(): void {
    for (const link of this.#links) link.outgoing.retry()
  }

  /** Drops a connection when neither end needs it. */
  #forget(link: SimLink): void {
    if (!link.isClosed || !link.peer.isClosed) return
    this.#links.delete(link)
    this.#links.delete(link.peer)
  }

  async #listen(host: string, owner: EventOwner, address: string, accept: BoundListener['accept']): Promise<Listener> {
    if (!owner.alive) return neverSettles()
    const [wanted, port] = splitAddress(parseAddress(address, 'address', { allowPortZero: true }))
    if (wanted !== host) throw new KvError('unavailable', `${host} cannot listen on ${address}: not its own name`)
    const bound = `${host}:${port === 0 ? this.#nextPort++ : port}`
    if (this.#listeners.has(bound)) throw new KvError('unavailable', `${bound} is in use`)
    const listener: BoundListener = { host, owner, accept }
    this.#listeners.set(bound, listener)
    return {
      address: bound,
      close: async () => {
        if (this.#listeners.get(bound) === listener) this.#listeners.delete(bound)
      },
    }
  }

  #connect(host: string, owner: EventOwner, address: string, channel: Channel, timeoutMs: number): Promise<Link> {
    return new Promise((resolve, reject) => {
      const target = parseAddress(address, 'address')
      if (!owner.alive) return // never settles: whoever waits for it is dead
      const end = (error: KvError | undefined, link?: SimLink): void => {
        if (attempt.ended) return
        attempt.ended = true
        this.#scheduler.cancel(givingUp)
        if (link !== undefined) resolve(link)
        else reject(error)
      }
      const attempt: ConnectAttempt = { host, owner, address: target, channel, ended: false, end }
      const givingUp = this.#scheduler.schedule(owner, 'connect', timeoutMs, () =>
        end(cannotConnect(target, `no answer within ${timeoutMs} ms`)),
      )
      this.#knock(attempt)
    })
  }

  /** Sends a request to connect, again and again while it gets lost. */
  #knock(attempt: ConnectAttempt): void {
    const { host, owner, address } = attempt
    const [remote] = splitAddress(address)
    this.#scheduler.schedule(nobody, 'connect', this.#delayMs(host, remote), () => {
      if (attempt.ended || !owner.alive) return
      const listener = this.#listeners.get(address)
      if (!this.#reaches(host, remote) || !this.#reaches(remote, host)) {
        this.#scheduler.schedule(owner, 'connect', connectRetryMs, () => {
          if (!attempt.ended) this.#knock(attempt)
        })
      } else if (listener === undefined) {
        const refuse = (): void => attempt.end(cannotConnect(address, 'refused'))
        this.#scheduler.schedule(owner, 'connect', this.#delayMs(remote, host), refuse)
      } else {
        this.#scheduler.schedule(listener.owner, 'accept', 0, () => this.#accept(attempt, listener))
      }
    })
  }

  /** At the side that listens: makes both ends, hands over its own, and sends word back. */
  #accept(attempt: ConnectAttempt, listener: BoundListener): void {
    if (attempt.ended || !attempt.owner.alive) return
    const { host, owner, address, channel } = attempt
    const delayMs = this.#delayMs(listener.host, host)
    const near = new SimLink(this.#wire, owner, host, address)
    const far = new SimLink(this.#wire, listener.owner, listener.host, `${host}:${this.#nextPort++}`)
    SimLink.pair(this.#wire, near, far, this.#scheduler.nowMs + delayMs)
    this.#links.add(near)
    this.#links.add(far)
    this.#scheduler.schedule(owner, 'connect', delayMs, () => {
      if (!attempt.ended && !near.isClosed) {
        near.open()
        attempt.end(undefined, near)
      } else {
        near.fail('connected too late', 0)
        far.fail('the other side gave up', this.#delayMs(host, listener.host))
      }
    })
    far.open()
    listener.accept(far, channel)
    assert(far.started, 'accept must start its link before it returns')
  }
}

function cannotConnect(address: string, why: string): KvError {
  return new KvError('unavailable', `cannot connect to ${address}: ${why}`)
}

function pathKey(from: string, to: string): string {
  return `${from}>${to}`
}

function splitAddress(address: string): [host: string, port: number] {
  const colon = address.lastIndexOf(':')
  return [address.slice(0, colon), Number(address.slice(colon + 1))]
}
