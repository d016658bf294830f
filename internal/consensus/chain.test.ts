import { expect, test } from 'vitest'
import { type AcceptorState, acceptorStep } from './acceptor.js'
import type { RegisterReply, RegisterRequest } from './messages.js'
import { beginRound, type Round, stepRound } from './round.js'

/** A topology, as far as it matters here: who votes about the next one. */
interface Chart {
  readonly epoch: number
  readonly members: readonly { readonly incarnation: number; readonly number: number }[]
  readonly nextNumber: number
}

interface Site {
  incarnation: number
  chart: Chart | undefined
  state: AcceptorState<Chart> | undefined
  round: Round<Chart> | undefined
}

type Packet =
  | { readonly to: number; readonly from: number; readonly request: RegisterRequest<Chart> }
  | { readonly to: number; readonly from: number; readonly reply: RegisterReply<Chart> }

/** Nodes that are wiped and taken in again, in random order of everything. Throws where two charts share an epoch. */
class Chain {
  readonly #sites: Site[]
  readonly #packets: Packet[] = []
  readonly #decided = new Map<number, string>()
  readonly #anybodyVotes: boolean
  #incarnations: number
  #random: number
  wipes = 0

  constructor(size: number, seed: number, anybodyVotes: boolean) {
    this.#random = seed
    this.#anybodyVotes = anybodyVotes
    this.#incarnations = size
    const members = Array.from({ length: size }, (_, i) => ({ incarnation: i, number: i + 1 }))
    const chart: Chart = { epoch: 1, members, nextNumber: size + 1 }
    this.#sites = members.map(({ incarnation }) => ({ incarnation, chart, state: undefined, round: undefined }))
  }

  get epoch(): number {
    return Math.max(1, ...this.#decided.keys())
  }

  step(): void {
    const at = this.#below(this.#sites.length)
    const event = this.#below(60)
    if (event < 48) this.#deliver()
    else if (event < 51) this.#begin(at)
    else if (event < 58) this.#tell(at, this.#below(this.#sites.length))
    else if (event === 58) this.#sites[at]!.round = undefined
    else this.#wipe(at)
  }

  #below(bound: number): number {
    // Mulberry32: the low quality of a plain congruential generator ties each event to the one before.
    this.#random = (this.#random + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#random ^ (this.#random >>> 15), this.#random | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound)
  }

  #named(site: Site): Chart | undefined {
    const { chart, incarnation } = site
    return chart?.members.some((member) => member.incarnation === incarnation) === true ? chart : undefined
  }

  /** Takes in a member that has been wiped; where none has, changes nothing but the epoch. */
  #begin(self: number): void {
    const site = this.#sites[self]!
    const chart = this.#named(site)
    if (chart === undefined) return
    const members = chart.members.map((member, i) => {
      const { incarnation } = this.#sites[i]!
      return incarnation === member.incarnation ? member : { incarnation, number: chart.nextNumber }
    })
    const value: Chart = { epoch: chart.epoch + 1, members, nextNumber: chart.nextNumber + 1 }
    const before = site.state?.epoch === value.epoch ? site.state.promised.counter : 0
    const ballot = { counter: before + 1, number: chart.members[self]!.number }
    const begun = beginRound<Chart>({ epoch: value.epoch, ballot, acceptors: members.length, self, value })
    site.round = begun.round
    this.#request(self, self, begun.request!)
  }

  #deliver(): void {
    if (this.#packets.length === 0) return
    const at = this.#packets.length - 1 - this.#below(Math.min(this.#packets.length, 20))
    const packet = this.#packets[at]!
    // Now and then it comes once more, much later perhaps; what is left behind twenty others may never come.
    if (this.#below(4) > 0) this.#packets.splice(at, 1)
    if ('request' in packet) this.#request(packet.to, packet.from, packet.request)
    else this.#reply(packet.to, packet.from, packet.reply)
  }

  #request(to: number, from: number, request: RegisterRequest<Chart>): void {
    const site = this.#sites[to]!
    const chart = this.#anybodyVotes ? site.chart : this.#named(site)
    const { state, reply } = acceptorStep(chart?.epoch ?? 0, site.state, request)
    site.state = state
    if (to === from) this.#reply(to, to, reply)
    else this.#packets.push({ to: from, from: to, reply })
  }

  #reply(to: number, from: number, reply: RegisterReply<Chart>): void {
    const site = this.#sites[to]!
    if (site.round === undefined) return
    const step = stepRound(site.round, from, reply)
    site.round = step.round
    for (const each of step.to) {
      if (each === to) this.#request(to, to, step.request!)
      else this.#packets.push({ to: each, from: to, request: step.request! })
    }
    if (step.round.phase === 'chosen') this.#adopt(site, step.round.value!)
  }

  #adopt(site: Site, chart: Chart): void {
    const text = JSON.stringify(chart)
    const other = this.#decided.get(chart.epoch)
    if (other !== undefined && other !== text) throw new Error(`epoch ${chart.epoch}: ${other} and ${text}`)
    this.#decided.set(chart.epoch, text)
    if (chart.epoch <= (site.chart?.epoch ?? 0)) return
    site.chart = chart
    site.round = undefined
  }

  #tell(from: number, to: number): void {
    const { chart } = this.#sites[from]!
    const site = this.#sites[to]!
    if (chart === undefined) return
    if (this.#anybodyVotes || this.#named({ ...site, chart }) !== undefined) this.#adopt(site, chart)
  }

  /** One after the other: only once all know the newest document, and it names everybody as they are. */
  #wipe(at: number): void {
    const whole = this.#sites.every((site) => this.#named(site)?.epoch === this.epoch)
    if (!whole) return
    this.wipes++
    this.#sites[at] = { incarnation: this.#incarnations++, chart: undefined, state: undefined, round: undefined }
  }
}

function play(size: number, seed: number, steps: number, anybodyVotes: boolean): Chain {
  const chain = new Chain(size, seed, anybodyVotes)
  for (let i = 0; i < steps; i++) chain.step()
  return chain
}

test.each([3, 4, 5])('%i nodes, wiped one after the other: every epoch has one document, and it goes on', (size) => {
  for (let seed = 1; seed <= 40; seed++) {
    const chain = play(size, seed, 4_000, false)
    expect(chain.epoch).toBeGreaterThan(5)
    expect(chain.wipes).toBeGreaterThan(1)
  }
})

test('a new incarnation that votes before a document names it lets two documents share an epoch: seen', () => {
  const seeds = Array.from({ length: 200 }, (_, i) => i + 1)
  expect(() => seeds.map((seed) => play(3, seed, 4_000, true))).toThrow(/^epoch \d+: .* and /)
})
