import { FatalError, KvError, type NodeId, parseNodeId } from '@quorumkv/internal/base'
import { decodeTopology, type Node } from '@quorumkv/internal/cluster'
import { type Disk, DiskError } from '@quorumkv/internal/env'
import type { SimProcess, SimRandom } from '@quorumkv/internal/env-sim'
import { effectiveQuorums, type Member, slotTables, type Topology } from '@quorumkv/internal/slots'
import { readDocument } from '@quorumkv/internal/store'
import type { SimCluster } from '../sim-cluster.js'
import type { Ledger } from './ledger.js'
import type { Rot } from './rot.js'
import { type ChangeKind, type Changes, changeKinds, type Scenario } from './scenario.js'
import { settled } from './settled.js'
import type { TopologyHistory } from './topology-history.js'

/** What an operator wants to become of a member is asked for again so often until it has. */
const askEveryMs = 1_000
/** A change that nothing hinders any more is over after so long. */
const settleMs = 180_000
/** A refill waits so long for a dead member that may be counting on what was lost, and a handover for the refill. */
const forgetMs = 660_000
/** Who is to be given up must look dead first. */
const patienceMs = 1_000

/** What the operator needs of whoever starts and ends processes. */
export interface Hands {
  readonly over: boolean
  readonly rot: Rot
  /** Ends a node, which stays down. */
  switchOff(process: SimProcess): void
  /** Starts a node; with an empty disk if it is `fresh`. It is started again whenever it ends. */
  start(name: string, fresh: boolean): void
  /** Ends a node and starts it after a while. */
  restart(process: SimProcess): void
  tell(what: string): void
}

/** What is to become of a member, until it has. */
interface Wish {
  readonly change: { readonly kind: 'decommission' | 'remove'; readonly id: NodeId } | Replacement
  /** It is off for good. */
  readonly dead: boolean
  readonly sinceMs: number
}

interface Replacement {
  readonly kind: 'replace'
  readonly id: NodeId
  readonly by: NodeId
}

/**
 * Whoever changes the cluster while it serves: starts nodes that join, and asks members to let others go, to replace or
 * to reweight them, again and again until it is so. Never asks for what cannot go well: enough who vote are left, and no
 * member is given up while another one has lost something.
 */
export class Operator {
  readonly #cluster: SimCluster
  readonly #scenario: Scenario
  readonly #changes: Changes
  readonly #ledger: Ledger
  readonly #history: TopologyHistory
  readonly #hands: Hands
  readonly #random: SimRandom
  readonly #deeds: Readonly<Record<ChangeKind, () => void>> = {
    join: () => this.#join(),
    leave: () => this.#leave(),
    remove: () => this.#giveUp(false),
    replaceDead: () => this.#giveUp(true),
    replaceLive: () => this.#swap(),
    reweight: () => this.#reweight(),
    move: () => this.#move(),
    cancel: () => this.#cancel(),
  }
  readonly #wishes = new Map<string, Wish>()
  /** Members of whom another weight was wanted, which calls off what was wanted of them before. */
  readonly #reweighted = new Set<string>()
  /** Nodes that belong to the cluster no more; they may come again. */
  readonly #gone = new Set<string>()
  /** Of those, some that were started again with the disk that they had. */
  readonly #waking = new Set<string>()
  /** What each node was started with. */
  readonly #peers = new Map<string, readonly string[]>()
  #made: number

  constructor(
    cluster: SimCluster,
    scenario: Scenario,
    changes: Changes,
    ledger: Ledger,
    history: TopologyHistory,
    hands: Hands,
  ) {
    this.#cluster = cluster
    this.#scenario = scenario
    this.#changes = changes
    this.#ledger = ledger
    this.#history = history
    this.#hands = hands
    this.#random = cluster.world.random.fork('operator')
    this.#made = scenario.nodes
    for (const name of cluster.names) this.#peers.set(name, cluster.names)
    hands.rot.mayDamage = (name) => this.#mayDamage(name)
    hands.rot.mayWipe = (name) => this.#mayWipe(name)
  }

  /** Begins, and goes on until the end of the play. */
  start(): void {
    this.#attend()
    this.#act()
  }

  #act(): void {
    if (!this.#hands.over) {
      const count = this.#random.chance(this.#changes.several) ? 2 + this.#random.below(2) : 1
      for (let i = 0; i < count; i++) this.#doSomething()
    }
    this.#cluster.world.after(this.#random.between(0, 2 * this.#changes.everyMs), () => this.#act())
  }

  #doSomething(): void {
    const { weights } = this.#changes
    let draw = this.#random.between(
      0,
      changeKinds.reduce((sum, kind) => sum + weights[kind], 0),
    )
    for (const kind of changeKinds) {
      draw -= weights[kind]
      if (draw >= 0) continue
      this.#deeds[kind]()
      return
    }
  }

  /** A new name, or that of somebody who has gone. */
  #join(): void {
    if (this.#nodes >= this.#changes.nodesMax) return
    const former = [...this.#gone].filter((name) => !this.#waking.has(name))
    const name = former.length > 0 && this.#random.chance(0.4) ? this.#random.pick(former) : this.#newName()
    this.#tell(`${name} joins`)
    this.#bringIn(name)
  }

  #leave(): void {
    const leaver = this.#somebodyWhoMayGo(this.#changes.stayMin)
    if (leaver === undefined || leaver.id === this.#hands.rot.victim) return
    this.#tell(`${leaver.id} is to leave`)
    this.#wish({ kind: 'decommission', id: leaver.id }, false)
  }

  /** A member that will not come back. The others must have all that it had, and agree without it. */
  #giveUp(replaced: boolean): void {
    const lost = this.#somebodyWhoMayGo(Math.max(2, this.#changes.stayMin))
    if (lost === undefined || (replaced && this.#nodes >= this.#changes.nodesMax + 1)) return
    const { rot } = this.#hands
    // What is lost elsewhere, and is on its way there, is refilled only when the dead one can not be counting on it any more.
    if (this.#someLack(lost.id) || !rot.claim(lost.id)) return
    this.#tell(`${lost.id} will not come back${replaced ? ', and is replaced' : ''}`)
    this.#hands.switchOff(this.#cluster.process(lost.id))
    this.#cluster.dismiss(lost.id)
    const { id } = lost
    this.#wish(replaced ? { kind: 'replace', id, by: parseNodeId(this.#newName()) } : { kind: 'remove', id }, true)
  }

  #someLack(besides: string): boolean {
    const others = this.#cluster.runningNames.filter((name) => name !== besides)
    return others.some((name) => (this.#cluster.node(name).localStore?.lostCount ?? 0) > 0)
  }

  #swap(): void {
    const old = this.#somebodyWhoMayGo(this.#changes.stayMin)
    if (old === undefined || old.id === this.#hands.rot.victim || this.#nodes >= this.#changes.nodesMax + 1) return
    const by = parseNodeId(this.#newName())
    this.#tell(`${by} is to replace ${old.id}, which lives`)
    this.#wish({ kind: 'replace', id: old.id, by }, false)
  }

  #reweight(): void {
    const member = this.#random.pick(this.#history.newest.members)
    const weight = 1 + this.#random.below(4)
    this.#tell(`${member.id} is to have weight ${weight}`)
    this.#reweighted.add(member.id)
    this.#ask((node) => node.members?.request({ kind: 'reweight', id: member.id, weight }))
  }

  #move(): void {
    const process = this.#random.pick(this.#cluster.processes)
    // One after the other: two that move at once find each other by what they are started with only. And nobody while one
    // is behind, which may have been away: if all others move meanwhile, it finds none of them where it knows them.
    const { members, epoch } = this.#history.newest
    const isKnown = (name: string): boolean => {
      return members.some(({ id, address }) => id === name && address === this.#cluster.address(name))
    }
    const knows = (name: string): boolean => {
      return this.#cluster.runningNames.includes(name) && this.#cluster.node(name).topology?.epoch === epoch
    }
    if (!this.#cluster.names.every((name) => isKnown(name) && knows(name))) return
    this.#cluster.move(process.name)
    this.#tell(`${process.name} gets the address ${this.#cluster.address(process.name)}`)
    this.#hands.restart(process)
  }

  #cancel(): void {
    this.#tell('what goes on is cancelled')
    this.#ask((node) => node.members?.request({ kind: 'cancel', id: undefined, epoch: node.topology!.epoch }))
  }

  /** Asks through any member. That it is refused, or answered by nobody, is no fault. */
  #ask(request: (node: Node) => Promise<void> | undefined): void {
    const running = this.#cluster.runningNames
    if (running.length === 0) return
    const via = this.#random.pick(running)
    request(this.#cluster.node(via))?.catch((error: unknown) => {
      if (error instanceof KvError) this.#tell(`${via} says: ${error.message}`)
      else this.#ledger.falsehood(`${via} refused a change with something else than a KvError: ${String(error)}`)
    })
  }

  #wish(change: Wish['change'], dead: boolean): void {
    this.#wishes.set(change.id, { change, dead, sinceMs: this.#cluster.world.nowMs })
  }

  /** Looks after what was wished for, until the end of the play. */
  #attend(): void {
    const { world } = this.#cluster
    for (const [name, wish] of this.#wishes) {
      if (this.#stillThere(name)) this.#pursue(wish)
      else this.#fulfilled(name, wish)
    }
    world.after(askEveryMs, () => this.#attend())
  }

  #stillThere(name: string): boolean {
    return this.#history.newest.members.some(({ id }) => id === name)
  }

  #pursue(wish: Wish): void {
    const { change, dead, sinceMs } = wish
    if (dead && this.#cluster.world.nowMs < sinceMs + patienceMs) return
    const { planned, handover, members } = this.#history.newest
    const known = [...planned, ...(handover?.changes ?? [])].some(({ id, kind }) => {
      return id === change.id && kind === change.kind
    })
    if (change.kind === 'replace' && !known && this.#hasJoinedByItself(change)) {
      this.#tell(`${change.by} has joined by itself: ${change.id} is to go without being replaced`)
      const goes = { kind: dead ? 'remove' : 'decommission', id: change.id } as const
      this.#wishes.set(change.id, { ...wish, change: goes })
      return
    }
    if (!known) this.#ask((node) => node.members?.request(change))
    if (dead && handover?.step === 'both' && this.#isWaitedFor(change.id)) {
      this.#tell(`the handover that waits for ${change.id} is cancelled`)
      this.#cancel()
    }
    if (change.kind !== 'replace' || !known) return
    const here = this.#cluster.names.includes(change.by)
    if (!here && !members.some(({ id }) => id === change.by)) this.#bringIn(change.by)
  }

  /**
   * Of what is wanted of one member the last counts: a new weight calls off its replacement, and who was to take its place
   * joins as anybody does. It can take nobody's place from then on. Where nobody has asked for a weight, a replacement
   * that comes to nothing is a fault.
   */
  #hasJoinedByItself({ id, by }: Replacement): boolean {
    const newcomer = this.#history.newest.members.find((member) => member.id === by)
    return this.#reweighted.has(id) && newcomer !== undefined && newcomer.state !== 'joining'
  }

  /** A handover that wants to give slots to a dead member ends only when somebody takes it back (docs/adr/0030). */
  #isWaitedFor(name: NodeId): boolean {
    return this.#cluster.runningNames.some((via) => {
      return this.#cluster.node(via).status().handover?.waitsFor.includes(name) === true
    })
  }

  #fulfilled(name: string, { dead, change }: Wish): void {
    this.#wishes.delete(name)
    this.#reweighted.delete(name)
    if (!dead) return
    this.#tell(`${name} is given up (${change.kind})`)
    this.#hands.rot.forgive(name)
    this.#gone.add(name)
    if (this.#hands.over || this.#random.chance(0.5)) return
    this.#waking.add(name)
    this.#cluster.enlist(name)
    this.#tell(`${name} wakes up though it was given up`)
    this.#hands.start(name, false)
  }

  #newName(): string {
    return `n${++this.#made}`
  }

  #bringIn(name: string): void {
    this.#gone.delete(name)
    this.#cluster.enlist(name)
    this.#hands.start(name, true)
  }

  #tell(what: string): void {
    this.#hands.tell(what)
  }

  /** Those that are there, and those that will be. */
  get #nodes(): number {
    return this.#cluster.names.length
  }

  /** Members that own slots, vote, and are not about to go. */
  get #steady(): Member[] {
    return this.#history.newest.members.filter(({ id, state }) => state === 'serving' && !this.#wishes.has(id))
  }

  #somebodyWhoMayGo(stayMin: number): Member | undefined {
    const steady = this.#steady.filter(({ id }) => this.#cluster.names.includes(id))
    return steady.length > stayMin ? this.#random.pick(steady) : undefined
  }

  /** Whether there are other copies of all that this node has, by which it could get back what it loses. */
  #mayDamage(name: string): boolean {
    // A repair may leave a node that has to be taken back.
    const agree = this.#scenario.nodes < 3 || this.#steady.length >= 3
    if (!agree || this.#wishes.has(name) || this.#waking.has(name)) return false
    // Whoever has gone meanwhile, after a plot had chosen it, never comes back to be whole again.
    if (!this.#cluster.names.includes(name)) return false
    // Of a new directory nothing but its identity says whose it is.
    if (this.#history.lastOf(name) === undefined) return false
    const topology = this.#history.newest
    const { current, next } = slotTables(topology)
    return [current, next ?? current].every(({ ownersPerSlot }) => {
      const { readQuorum } = effectiveQuorums(topology.replication, ownersPerSlot)
      return ownersPerSlot > 1 && ownersPerSlot - 1 >= readQuorum
    })
  }

  /** Whether the others can agree without it, whatever is under way. */
  #mayWipe(name: string): boolean {
    return this.#mayDamage(name) && this.#steady.length >= 3
  }

  /** How many vote, and can be relied upon. */
  get steadyCount(): number {
    return this.#steady.length
  }

  /**
   * What a node is started with: what it was first started with as long as it has its disk, and, with an empty one, some
   * that are members now.
   */
  async peersFor(name: string): Promise<readonly string[]> {
    const topology = await topologyOn(this.#cluster.process(name).disk)
    // Whoever names others to a node that was left alone expects copies of its data there (docs/adr/0028).
    if (topology?.members.length === 1) return [name]
    const known = topology === undefined ? undefined : this.#peers.get(name)
    const peers = known ?? this.#pickPeers(name)
    this.#peers.set(name, peers)
    return peers
  }

  #pickPeers(name: string): readonly string[] {
    const { victim } = this.#hands.rot
    // One at least whose disk is not empty: else those who only form would found a cluster of their own.
    const sure = this.#steady.map(({ id }) => id as string).filter((id) => id !== name && id !== victim)
    const peers = sure.length === 0 ? [] : [this.#random.pick(sure)]
    const others = this.#cluster.names.filter((each) => this.#random.chance(0.3) && !peers.includes(each))
    return [...peers, ...others]
  }

  /** A node has ended by itself. Whether it had to: it is no member any more. */
  ended(name: string, error: FatalError, incarnation: string | undefined): boolean {
    this.#history.look()
    const { members, removed } = this.#history.newest
    const farewell = error.reason === 'decommissioned' || error.reason === 'refused'
    const isMember = members.some((member) => member.id === name && member.incarnation === incarnation)
    const former = removed.some((member) => member.id === name && member.incarnation === incarnation)
    if (!farewell || isMember || !former) return false
    this.#tell(`${name} has gone: ${error.message}`)
    this.#cluster.dismiss(name)
    this.#hands.rot.forgive(name)
    this.#waking.delete(name)
    this.#wishes.delete(name)
    this.#reweighted.delete(name)
    this.#gone.add(name)
    return true
  }

  /** Until no member that was given up is left in the topology. What goes wrong is over. */
  async givenUp(): Promise<void> {
    await this.#until('members that were given up are still there', () => {
      return [...this.#wishes.values()].every(({ dead }) => !dead)
    })
  }

  /** Until all that was asked for has been done, and everybody has heard of it. What goes wrong is over. */
  async settle(): Promise<void> {
    await this.#until('the cluster does not come to rest', () => this.#restless() === '')
  }

  async #until(what: string, isSo: () => boolean): Promise<void> {
    const { world } = this.#cluster
    const sinceMs = world.nowMs
    let boundMs = settleMs
    while (!isSo() && world.nowMs < sinceMs + boundMs) {
      if (this.#someLack('')) boundMs = settleMs + forgetMs
      await world.advance(250)
    }
    if (!isSo()) this.#ledger.violation(`${what} although nothing is wrong any more: ${this.#restless()}`)
  }

  /** What is still going on; empty: nothing. */
  #restless(): string {
    const wishes = [...this.#wishes.values()].map(({ change }) => `${change.kind} ${change.id}`)
    if (wishes.length > 0) return `${wishes.join(', ')}; ${shown(this.#history.newest)}`
    if (this.#waking.size > 0) return `${[...this.#waking].join(', ')} should have been told`
    return settled(this.#cluster)
  }
}

function shown({ epoch, members, handover, planned }: Topology): string {
  const states = members.map(({ id, state }) => `${id} ${state}`).join(', ')
  const what = handover === undefined ? '' : `, handover ${handover.since} ${handover.step}`
  return `epoch ${epoch}: ${states}${what}, ${planned.length} planned`
}

/** What a node that is about to start will read; undefined: nothing, or it will say itself what is wrong with it. */
async function topologyOn(disk: Disk): Promise<Topology | undefined> {
  try {
    const bytes = await readDocument(disk, 'topology')
    return bytes === undefined ? undefined : decodeTopology(bytes)
  } catch (error) {
    if (error instanceof FatalError || error instanceof DiskError) return undefined
    throw error
  }
}
