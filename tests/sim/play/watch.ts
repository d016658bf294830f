import type { Slot } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { compareVersions, hlcMs, type Version, zeroVersion } from '@quorumkv/internal/hlc'
import type { SimCluster } from '../sim-cluster.js'
import { keyBytes, keySlot } from './keys.js'
import type { Ledger } from './ledger.js'
import type { Scenario } from './scenario.js'
import type { TopologyHistory } from './topology-history.js'

const checkEveryMs = 500
/** How far a node raises its stored ceiling ahead (docs/adr/0006), and what restarts add. */
const ceilingLeadMs = 5_000
/** Where a clock stood wrong, its effects are excused for so long: what was read or sent by it is still under way. */
const clockGraceMs = 15_000
/**
 * Ends of links of two nodes: each way one for requests and one for gossip, and the same again twice that have died and do not
 * know it yet.
 */
const linkEndsPerPair = 24

/** Looks into the nodes while the play runs, and checks what must be true at every moment. */
export class Watch {
  readonly #cluster: SimCluster
  readonly #scenario: Scenario
  readonly #ledger: Ledger
  readonly #history: TopologyHistory
  /** What each node's own copy was seen to hold of each key, by node and key. */
  readonly #held = new Map<string, Version>()
  /** The epoch that each node was at when it was looked at last. */
  readonly #epochs = new Map<string, number>()
  #clockRightSinceMs = Number.NEGATIVE_INFINITY
  #farOff: string | undefined
  #over = false

  constructor(cluster: SimCluster, scenario: Scenario, ledger: Ledger, history: TopologyHistory) {
    this.#history = history
    this.#cluster = cluster
    this.#scenario = scenario
    this.#ledger = ledger
  }

  start(): void {
    if (this.#over) return
    this.#checkAll()
    this.#cluster.world.after(checkEveryMs, () => this.start())
  }

  stop(): void {
    this.#over = true
  }

  /** The clock of this node is, or (undefined) none is any more, further off than allowed. */
  farOff(name: string | undefined): void {
    this.#farOff = name
    this.#clockRightSinceMs = this.#cluster.world.nowMs
  }

  /** Whether some clock was further off than allowed at `sinceMs` (true time) or has been since. */
  clockWasOff(sinceMs: number): boolean {
    return this.#farOff !== undefined || this.#clockRightSinceMs + clockGraceMs > sinceMs
  }

  /** The node has lost what its disk held, and knows it: what it holds may begin again below what it held. */
  mayForget(name: string): void {
    for (const place of [...this.#held.keys()]) if (place.startsWith(`${name}/`)) this.#held.delete(place)
  }

  /**
   * To be told at once when a node has started: what it has lost by damage to its disk may begin again below what it held,
   * and may be refilled before the next look.
   */
  started(name: string): void {
    if (!this.#cluster.runningNames.includes(name)) return
    const store = this.#cluster.node(name).localStore
    if (store === undefined || store.lostCount === 0) return
    for (const key of this.#ledger.keys()) if (store.isLost(keySlot(key))) this.#held.delete(`${name}/${key}`)
  }

  /**
   * What a node holds of a key never falls, also over restarts: it has told others of it. And what was acknowledged is
   * held by so many of those who have a say that no read quorum misses it.
   */
  key(key: string): void {
    const bytes = keyBytes(key)
    const slot = keySlot(key)
    const acknowledged = this.#ledger.highest(key)
    const owners = this.#readOwners(slot)
    let lacking = ''
    let lackingCount = 0
    for (const name of this.#cluster.runningNames) {
      const store = this.#cluster.node(name).localStore
      if (store === undefined) continue
      const place = `${name}/${key}`
      if (store.isLost(slot) || this.#mayDrop(name, slot)) {
        this.#held.delete(place)
        continue
      }
      const version = store.getVersion(bytes)
      const before = this.#held.get(place)
      if (before !== undefined && (version === undefined || compareVersions(version, before) < 0)) {
        const now = version === undefined ? 'nothing' : `${version.hi}.${version.lo}.${version.node}`
        this.#ledger.violation(`${name} holds ${now} of ${key} after ${before.hi}.${before.lo}.${before.node}`)
      }
      if (version !== undefined) this.#held.set(place, version)
      if (acknowledged === undefined || store.isLost(slot) || !owners.has(name)) continue
      if (version !== undefined && compareVersions(version, acknowledged.version) >= 0) continue
      lacking += ` ${name}`
      lackingCount++
    }
    if (lackingCount <= this.#lackingMax(key)) return
    this.#ledger.violation(`${key}: what was acknowledged is not on${lacking}, which have a say`)
  }

  /** Whether somebody goes by a newer topology. */
  isBehind(name: string): boolean {
    return (this.#cluster.node(name).topology?.epoch ?? 0) < this.#history.newest.epoch
  }

  /** Who is read of a slot by the newest topology that somebody goes by who runs. */
  #readOwners(slot: Slot): ReadonlySet<string> {
    let newest: Node | undefined
    for (const name of this.#cluster.runningNames) {
      const node = this.#cluster.node(name)
      if (node.topology !== undefined && node.topology.epoch > (newest?.topology?.epoch ?? 0)) newest = node
    }
    const { slotTable, topology } = newest ?? {}
    if (slotTable === undefined || topology === undefined) return new Set()
    return new Set(Array.from(slotTable.owners(slot), (member) => topology.members[member]!.id))
  }

  /** Who is not read may drop what it has, and begin anew when it gets the slot again. */
  #mayDrop(name: string, slot: Slot): boolean {
    if (this.#scenario.changes === undefined) return false
    const { slotTable, topology } = this.#cluster.node(name)
    if (slotTable === undefined || topology === undefined) return true
    const before = this.#epochs.get(name)
    this.#epochs.set(name, topology.epoch)
    // It may have dropped the slot and got it again since it was looked at last.
    if (before !== undefined && topology.epoch > before + 2) return true
    const member = topology.members.findIndex(({ id }) => id === name)
    return member < 0 || !slotTable.ownsSlot(member, slot)
  }

  /** How many owners of a key may lack what was acknowledged. */
  #lackingMax(key: string): number {
    const { replicationFactor, readQuorum, writeQuorum } = this.#scenario.replication
    if (key.startsWith('o')) return replicationFactor
    if (key.startsWith('a')) return 0
    // Of the next owners only so many hold it that no read misses it (docs/adr/0029).
    return this.#scenario.changes === undefined ? replicationFactor - writeQuorum : readQuorum - 1
  }

  /**
   * To be asked when a read is called; what is returned, when it has: the highest version that any node holds of the
   * key, floors of its slot included. Undefined where a node has gone since, with what it may have answered.
   */
  holders(key: string): () => Version | undefined {
    const nodes = new Map(this.#cluster.runningNames.map((name) => [name, this.#cluster.node(name)]))
    return () => {
      let highest: Version = zeroVersion
      for (const [name, node] of nodes) {
        if (!this.#cluster.runningNames.includes(name) || this.#cluster.node(name) !== node) return undefined
      }
      for (const name of this.#cluster.runningNames) {
        const version = this.#cluster.node(name).localStore?.getVersion(keyBytes(key))
        if (version !== undefined && compareVersions(version, highest) > 0) highest = version
      }
      return highest
    }
  }

  #checkAll(): void {
    for (const key of this.#ledger.keys()) this.key(key)
    for (const name of this.#cluster.runningNames) this.#checkClock(name)
    const changing = this.#scenario.changes !== undefined
    const nodes = changing ? this.#cluster.processes.length + 2 : this.#scenario.nodes
    // While slots move there are links for them as well.
    const perPair = changing ? 1.5 * linkEndsPerPair : linkEndsPerPair
    const { linkEnds } = this.#cluster.world.network
    if (linkEnds > perPair * nodes * Math.max(1, nodes - 1))
      this.#ledger.violation(`there are ${linkEnds} ends of links`)
  }

  /** No clock is further ahead than the drift between two right ones, whatever a wrong one has said. */
  #checkClock(name: string): void {
    if (name === this.#farOff || !this.#cluster.process(name).running) return
    const aheadMs = hlcMs(this.#cluster.node(name).clockReading()) - this.#cluster.trueWallMs
    const aheadMsMax = 2 * this.#scenario.maxClockDriftMs + ceilingLeadMs
    if (aheadMs > aheadMsMax) this.#ledger.violation(`the clock of ${name} is ${aheadMs.toFixed(0)} ms ahead`)
  }
}
