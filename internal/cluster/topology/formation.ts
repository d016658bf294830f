import type { Address, Epoch, NodeId } from '../../base/index.js'
import type { Member } from '../../slots/index.js'
import type { FormationView, Founder } from '../links/handshake.js'

/** `found`: this node makes the topology. `follow`: another one does. `wait`: not everybody agrees yet. */
export type FormationVerdict = 'found' | 'follow' | 'wait'

interface Acquaintance {
  readonly founder: Founder
  /** Whom it had met, and who had not answered it, when it last spoke. */
  readonly view: FormationView
}

/**
 * How nodes that were started with `--peers` become one cluster. Pure: hellos in, a verdict out.
 *
 * Everybody dials the addresses that were named to it, and those that others have met or were told of. When the lists
 * have been followed to their end, all nodes have met the same set, and each says so in its hello. The one with the
 * lowest id founds once everyone it knows has said the same set with nothing left to meet. Two nodes cannot both do
 * that: each would have to be the lowest of one and the same set.
 *
 * Everybody tells only of its own list who has not answered, so that a wrong address goes when the one node to which
 * it was named is started again without it. Whoever answers at an address takes the place of who did before.
 */
export class Formation {
  readonly #local: Founder
  readonly #named: ReadonlySet<Address>
  readonly #acquaintances = new Map<NodeId, Acquaintance>()
  /** Who answered at an address, by dialling it or by what it says of itself. */
  readonly #answered = new Map<Address, NodeId>()

  constructor(local: Founder, named: Iterable<Address>) {
    this.#local = local
    this.#named = new Set(named)
    this.#answered.set(local.address, local.id)
  }

  /** Addresses to be in touch with. */
  get addresses(): Address[] {
    return [...this.#known()].filter((address) => this.#answered.get(address) !== this.#local.id)
  }

  /** Those of them at which nobody has answered yet. */
  get missing(): Address[] {
    return [...this.#known()].filter((address) => !this.#answered.has(address))
  }

  /** `address` turned out to be this node itself. */
  isSelf(address: Address): void {
    this.#answered.set(address, this.#local.id)
  }

  /** A hello from another node; `dialled` is the address at which it answered, if this node had called. */
  heard(from: Founder, view: FormationView, dialled?: Address): void {
    for (const address of dialled === undefined ? [from.address] : [from.address, dialled]) {
      const before = this.#answered.get(address)
      if (before !== undefined && before !== from.id) this.#acquaintances.delete(before)
      this.#answered.set(address, from.id)
    }
    this.#acquaintances.set(from.id, { founder: from, view })
  }

  view(): FormationView {
    const met = [this.#local, ...[...this.#acquaintances.values()].map(({ founder }) => founder)]
    met.sort(byId)
    return { met, unmet: [...this.#named].filter((address) => !this.#answered.has(address)) }
  }

  verdict(): FormationVerdict {
    if (this.missing.length > 0) return 'wait'
    const mine = this.view()
    for (const { view } of this.#acquaintances.values()) if (!sameView(mine, view)) return 'wait'
    return mine.met[0]!.id === this.#local.id ? 'found' : 'follow'
  }

  /** The founding members, numbered from 1 in the order of their ids. */
  members(): Member[] {
    return this.view().met.map((founder, index) => ({
      ...founder,
      number: index + 1,
      since: 1 as Epoch,
      state: 'serving',
    }))
  }

  /** Its own list, and what others said last: of whom they met, and who is missing from theirs. */
  #known(): Set<Address> {
    const known = new Set(this.#named)
    for (const { founder, view } of this.#acquaintances.values()) {
      known.add(founder.address)
      for (const { address } of view.met) known.add(address)
      for (const address of view.unmet) known.add(address)
    }
    return known
  }
}

function byId(a: Founder, b: Founder): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0
}

function sameView(mine: FormationView, theirs: FormationView): boolean {
  if (theirs.unmet.length > 0 || theirs.met.length !== mine.met.length) return false
  return mine.met.every((founder) =>
    theirs.met.some(({ id, incarnation }) => id === founder.id && incarnation === founder.incarnation),
  )
}
