import type { NodeId } from '../base/index.js'
import type { Random } from '../env/index.js'
import type { MemberView, SwimMember } from './face.js'
import { type DigestEntry, type MemberStatus, type Rumour, statuses } from './messages.js'
import type { Suspicion } from './suspicion.js'

/** What a node knows of another member. */
export interface MemberState {
  readonly id: NodeId
  readonly number: number
  status: MemberStatus
  /** What `status` is about; 0: only the topology has told of this member. */
  refutation: number
  /** Since when it has this status. */
  sinceMs: number
  address: string
  meta: Uint8Array
  /** The refutation that address and meta are from. */
  described: number
  /** Present exactly while it is suspect. */
  suspicion: Suspicion | undefined
  /** The last answer to a probe of ours. */
  ackedMs: number
  /** It was last told directly what is said about it. */
  toldMs: number
  /** It has spoken with a lower refutation than is known of it: its process is new, and must catch up. */
  behind: boolean
  /** It has spoken of us as of less than we are: it must be told who we are. */
  owed: boolean
  /** Events have told that it is dead or has left, and not yet that it is back. */
  gone: boolean
}

function rank(status: MemberStatus): number {
  return statuses.indexOf(status)
}

/**
 * Whether news replace what is known: a total order, so whatever arrives in whatever order, all end with the same. A
 * member raises its refutation only itself, so a higher one is later; at the same one, what speaks against it counts.
 */
export function outranks(
  a: { readonly status: MemberStatus; readonly refutation: number },
  b: { readonly status: MemberStatus; readonly refutation: number },
): boolean {
  return a.refutation > b.refutation || (a.refutation === b.refutation && rank(a.status) > rank(b.status))
}

const noBytes = new Uint8Array()

export function aliveRumour(number: number, refutation: number, address: string, meta: Uint8Array): Rumour {
  return { number, status: 'alive', refutation, address, meta, accusers: [] }
}

/** What is said against a member. */
export function accusation(
  number: number,
  status: 'suspect' | 'dead' | 'left',
  refutation: number,
  accusers: readonly number[],
): Rumour {
  return { number, status, refutation, address: '', meta: noBytes, accusers }
}

/** The status of a member, as a rumour. `alive` without description is none: undefined. */
export function statusRumour(member: MemberState): Rumour | undefined {
  const { number, status, refutation, suspicion } = member
  if (status === 'alive') return descriptionRumour(member)
  return accusation(number, status, refutation, suspicion?.accusers ?? [])
}

/** Where a member is reached and what it wants all to know, as a rumour; undefined: it has never said so. */
export function descriptionRumour({ number, described, address, meta }: MemberState): Rumour | undefined {
  return described === 0 ? undefined : aliveRumour(number, described, address, meta)
}

export function digestEntry({ number, status, refutation, described }: MemberState): DigestEntry {
  return { number, status, refutation, described }
}

/** What others may see of it. */
export function viewOf(member: MemberState): MemberView {
  const { id, number, status, sinceMs, refutation, address, meta, suspicion } = member
  return { id, number, status, sinceMs, refutation, address, meta, accusers: suspicion?.accusers ?? [] }
}

/** The other members of the topology. */
export class MemberTable {
  #byNumber = new Map<number, MemberState>()
  #all: readonly MemberState[] = []

  /** In the order of their numbers. */
  get all(): readonly MemberState[] {
    return this.#all
  }

  get(number: number): MemberState | undefined {
    return this.#byNumber.get(number)
  }

  /** From now on these. Who stays keeps what is known of it; who goes is forgotten, and its number never comes again. */
  set(nowMs: number, members: readonly SwimMember[]): void {
    const states = members.map((member) => this.#byNumber.get(member.number) ?? newcomer(nowMs, member))
    for (const [at, { address }] of members.entries()) {
      const state = states[at]!
      if (state.described === 0) state.address = address
    }
    this.#all = states.sort((a, b) => a.number - b.number)
    this.#byNumber = new Map(this.#all.map((state) => [state.number, state]))
  }

  /** Up to `count` different ones of those that `suits` allows, each as likely. */
  pick(random: Random, count: number, suits: (member: MemberState) => boolean): MemberState[] {
    const candidates = this.#all.filter(suits)
    shuffle(random, candidates, count)
    return candidates.slice(0, count)
  }
}

function newcomer(nowMs: number, { id, number, address }: SwimMember): MemberState {
  return {
    id,
    number,
    status: 'alive',
    refutation: 0,
    sinceMs: nowMs,
    address,
    meta: noBytes,
    described: 0,
    suspicion: undefined,
    ackedMs: Number.NEGATIVE_INFINITY,
    toldMs: Number.NEGATIVE_INFINITY,
    behind: false,
    owed: false,
    gone: false,
  }
}

/** Brings a uniform choice into the first `count` places (Fisher and Yates). */
export function shuffle<T>(random: Random, items: T[], count: number = items.length): void {
  for (let at = 0; at < Math.min(count, items.length - 1); at++) {
    const other = at + Math.floor(random.float() * (items.length - at))
    const item = items[at]!
    items[at] = items[other]!
    items[other] = item
  }
}
