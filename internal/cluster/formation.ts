import type { Address, NodeId } from '../base/index.js'
import type { Member } from '../slots/index.js'
import type { FormationView, Founder } from './handshake.js'

/** `found`: this node makes the topology. `follow`: another one does. `wait`: not everybody agrees yet. */
export type FormationVerdict = 'found' | 'follow' | 'wait'

interface Acquaintance {
  readonly founder: Founder
  /** Whom it had met when it last spoke; undefined: it has not spoken itself. */
  readonly view: FormationView
}

/**
 * How nodes that were started with `--peers` become one cluster. Pure: hellos in, a verdict out.
 *
 * Everybody dials the addresses that were named to it, and those that others have met. When the lists have been
 * followed to their end, all nodes have met the same set, and each says so in its hello. The one with the lowest id
 * founds once everyone it knows has said the same set with nothing left to meet. Two nodes cannot both do that:
 * each would have to be the lowest of one and the same set.
 */
export class Formation {
  readonly #local: Founder
  readonly #acquaintances = new Map<NodeId, Acquaintance>()
  /** Every address that was named, and who answered there. */
  readonly #addresses = new Map<Address, NodeId | undefined>()

  constructor(local: Founder, named: Iterable<Address>) {
    this.#local = local
    for (const address of named) this.#addresses.set(address, undefined)
    this.#addresses.set(local.address, local.id)
  }

  /** Addresses to be in touch with. */
  get addresses(): Address[] {
    return [...this.#addresses].filter(([, id]) => id !== this.#local.id).map(([address]) => address)
  }

  /** `address` turned out to be this node itself. */
  isSelf(address: Address): void {
    this.#addresses.set(address, this.#local.id)
  }

  /** A hello from another node; `dialled` is the address at which it answered, if this node had called. */
  heard(from: Founder, view: FormationView, dialled?: Address): void {
    this.#acquaintances.set(from.id, { founder: from, view })
    if (dialled !== undefined) this.#addresses.set(dialled, from.id)
    this.#addresses.set(from.address, from.id)
    for (const { id, address } of view.met) {
      if (id !== this.#local.id && !this.#addresses.has(address)) this.#addresses.set(address, undefined)
    }
    for (const address of view.unmet) {
      if (!this.#addresses.has(address)) this.#addresses.set(address, undefined)
    }
  }

  view(): FormationView {
    const met = [this.#local, ...[...this.#acquaintances.values()].map(({ founder }) => founder)]
    met.sort(byId)
    return { met, unmet: [...this.#addresses].filter(([, id]) => id === undefined).map(([address]) => address) }
  }

  verdict(): FormationVerdict {
    const mine = this.view()
    if (mine.unmet.length > 0) return 'wait'
    for (const { view } of this.#acquaintances.values()) if (!sameView(mine, view)) return 'wait'
    return mine.met[0]!.id === this.#local.id ? 'found' : 'follow'
  }

  /** The founding members, numbered from 1 in the order of their ids. */
  members(): Member[] {
    return this.view().met.map((founder, index) => ({ ...founder, number: index + 1 }))
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
