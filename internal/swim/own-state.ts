import { assert, equalBytes } from '../base/index.js'
import type { SwimMember } from './face.js'
import { aliveRumour } from './members.js'
import type { DigestEntry, MemberStatus, Rumour } from './messages.js'

/**
 * What hearing of oneself has led to.
 * - `agrees`: that is how it is.
 * - `outdated`: whoever says so has missed something, and should be told.
 * - `corrected`: it came from an earlier run of this node, which has been overtaken.
 * - `refuted`: this node is suspected or declared dead, and has contradicted.
 */
export type Hearing = 'agrees' | 'outdated' | 'corrected' | 'refuted'

/** What a node says of itself. It alone raises its refutation, and does so where others have it wrong. */
export class OwnState {
  readonly member: SwimMember
  #refutation: number
  #meta: Uint8Array
  #status: MemberStatus = 'alive'

  constructor(member: SwimMember, refutation: number, meta: Uint8Array) {
    assert(Number.isSafeInteger(refutation) && refutation >= 1, `a node begins with refutation ${refutation}`)
    this.member = member
    this.#refutation = refutation
    this.#meta = meta
  }

  get refutation(): number {
    return this.#refutation
  }

  get rumour(): Rumour {
    const { number, address } = this.member
    const alive = aliveRumour(number, this.#refutation, address, this.#meta)
    return this.#status === 'alive' ? alive : { ...alive, status: this.#status, address: '', meta: new Uint8Array() }
  }

  get digestEntry(): DigestEntry {
    const refutation = this.#refutation
    return { number: this.member.number, status: this.#status, refutation, described: refutation }
  }

  /** Whether that is news. */
  describe(meta: Uint8Array): boolean {
    if (equalBytes(meta, this.#meta)) return false
    this.#meta = meta
    this.#refutation++
    return true
  }

  leave(): void {
    this.#status = 'left'
  }

  hear(told: Rumour): Hearing {
    const { status, refutation, address, meta } = told
    const same = status === 'alive' && address === this.member.address && equalBytes(meta, this.#meta)
    return this.#weigh(status, refutation, same)
  }

  /** The same from a digest, in which there is no description. */
  hearDigest({ status, refutation, described }: DigestEntry): Hearing {
    const heard = this.#weigh(status, refutation, status === 'alive')
    return heard === 'agrees' && described < this.#refutation ? 'outdated' : heard
  }

  #weigh(status: MemberStatus, refutation: number, same: boolean): Hearing {
    if (refutation < this.#refutation) return 'outdated'
    if (same && refutation === this.#refutation) return 'agrees'
    this.#refutation = refutation + 1
    return status === 'suspect' || status === 'dead' ? 'refuted' : 'corrected'
  }
}
