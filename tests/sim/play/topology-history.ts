import { isDeepStrictEqual } from 'node:util'
import { currentRing, type Topology, validateTopology, voters } from '@quorumkv/internal/slots'
import type { SimCluster } from '../sim-cluster.js'
import type { Ledger } from './ledger.js'

/** What became of the members of a cluster. */
export interface ChangeCounts {
  joins: number
  leaves: number
  removals: number
  replacements: number
  reweights: number
  moves: number
  returns: number
  cancels: number
  handovers: number
  epochs: number
}

/** None of anything. */
export function noChanges(): ChangeCounts {
  return {
    joins: 0,
    leaves: 0,
    removals: 0,
    replacements: 0,
    reweights: 0,
    moves: 0,
    returns: 0,
    cancels: 0,
    handovers: 0,
    epochs: 0,
  }
}

/**
 * Every topology that any node was seen to go by. There is one for each epoch, and from one to the next at most one vote
 * comes, goes or passes to another incarnation; numbers are never given twice; a node never goes back; there is one cluster.
 */
export class TopologyHistory {
  readonly #cluster: SimCluster
  readonly #ledger: Ledger
  readonly #byEpoch = new Map<number, Topology>()
  /** What each node was seen to go by last. */
  readonly #seen = new Map<string, Topology>()
  /** Who was given each number. */
  readonly #numbers = new Map<number, string>()
  #newest: Topology | undefined

  constructor(cluster: SimCluster, ledger: Ledger) {
    this.#cluster = cluster
    this.#ledger = ledger
  }

  /** The newest that any node has ever gone by. */
  get newest(): Topology {
    if (this.#newest === undefined) this.look()
    return this.#newest!
  }

  /** What this node, or a former life of it with the same disk, was seen to go by last. */
  lastOf(name: string): Topology | undefined {
    return this.#seen.get(name)
  }

  /** Its disk is empty: it knows of nothing any more. */
  forget(name: string): void {
    this.#seen.delete(name)
  }

  /** To be called often: before every event, so that none is missed. */
  look(): void {
    for (const name of this.#cluster.runningNames) {
      const { topology } = this.#cluster.node(name)
      if (topology === undefined || this.#seen.get(name) === topology) continue
      this.#note(name, topology)
    }
  }

  #note(name: string, topology: Topology): void {
    const before = this.#seen.get(name)
    this.#seen.set(name, topology)
    if (before !== undefined && topology.epoch < before.epoch) {
      this.#ledger.violation(`${name} goes back from epoch ${before.epoch} to ${topology.epoch}`)
    }
    const known = this.#byEpoch.get(topology.epoch)
    if (known === undefined) this.#add(name, topology)
    else if (!isDeepStrictEqual(known, topology)) {
      this.#ledger.violation(`${name} has another epoch ${topology.epoch} than others: ${JSON.stringify(topology)}`)
    }
  }

  #add(name: string, topology: Topology): void {
    const { epoch } = topology
    this.#byEpoch.set(epoch, topology)
    try {
      validateTopology(topology)
    } catch (error) {
      this.#ledger.violation(`${name} goes by a topology that is none: ${String(error)}`)
    }
    if (this.#newest !== undefined && topology.clusterId !== this.#newest.clusterId) {
      this.#ledger.violation(`${name} belongs to a cluster of its own, ${topology.clusterId}`)
    }
    for (const { id, incarnation, number } of topology.members) {
      const owner = `${id} (${incarnation})`
      const other = this.#numbers.get(number)
      if (other !== undefined && other !== owner)
        this.#ledger.violation(`${owner} has number ${number}, as ${other} had`)
      this.#numbers.set(number, owner)
    }
    if (this.#newest === undefined || epoch > this.#newest.epoch) this.#newest = topology
    this.#compare(this.#byEpoch.get(epoch - 1), topology)
    this.#compare(topology, this.#byEpoch.get(epoch + 1))
  }

  #compare(before: Topology | undefined, after: Topology | undefined): void {
    if (before === undefined || after === undefined) return
    const votes = (topology: Topology): Map<string, string> =>
      new Map(voters(topology).map(({ id, incarnation }) => [id, incarnation]))
    const [old, now] = [votes(before), votes(after)]
    const changed = [...new Set([...old.keys(), ...now.keys()])].filter((id) => old.get(id) !== now.get(id))
    if (changed.length > 1) {
      this.#ledger.violation(`epoch ${after.epoch} changes the votes of ${changed.join(' and ')}`)
    }
    if (after.nextNumber < before.nextNumber) this.#ledger.violation(`epoch ${after.epoch} gives numbers again`)
    const isEnd = before.handover?.step === 'switch' && after.handover === undefined
    if (!isEnd && !sameOwners(before, after)) {
      this.#ledger.violation(`owners change in epoch ${after.epoch}, at which no handover ends`)
    }
  }

  /** What has happened, as far as it was seen. */
  counts(): ChangeCounts {
    const counts = noChanges()
    counts.epochs = this.#newest?.epoch ?? 0
    for (const [epoch, after] of this.#byEpoch) {
      const before = this.#byEpoch.get(epoch - 1)
      if (before !== undefined) countStep(counts, before, after)
    }
    return counts
  }
}

function sameOwners(before: Topology, after: Topology): boolean {
  return isDeepStrictEqual(currentRing(before), currentRing(after))
}

function countStep(counts: ChangeCounts, before: Topology, after: Topology): void {
  const members = new Map(after.members.map((member) => [member.id, member]))
  for (const old of before.members) {
    const member = members.get(old.id)
    if (old.state === 'joining' && member?.state === 'arrived') counts.joins++
    if (member !== undefined && member.incarnation !== old.incarnation) counts.returns++
    else if (member !== undefined && member.address !== old.address) counts.moves++
    if (member !== undefined || old.state !== 'left') continue
    const wish = before.planned.find(({ id }) => id === old.id)
    if (wish?.kind === 'decommission') counts.leaves++
    else if (wish?.kind === 'replace') counts.replacements++
    else counts.removals++
  }
  if (before.handover === undefined || after.handover !== undefined) return
  if (before.handover.step === 'both') counts.cancels++
  else {
    counts.handovers++
    counts.reweights += before.handover.changes.filter(({ kind }) => kind === 'reweight').length
  }
}
