import { compareVersions, type Version } from '@quorumkv/internal/hlc'
import type { StoredRecord } from '@quorumkv/internal/record'
import type { Consistency } from '@quorumkv/internal/replication'
import type { SimCluster } from '../sim-cluster.js'
import { nameOfValue } from './clients.js'
import { keyBytes, keySlot } from './keys.js'
import type { Ledger } from './ledger.js'
import type { Scenario } from './scenario.js'
import { checkCopiesOfAll } from './settled.js'

/** An operation on a cluster of which nothing is wrong ends within this. */
const progressMs = 10_000

/** All owners of a key hold the same by themselves within this: the longest pause of a comparison, and some rounds. */
const convergenceMs = 90_000
const lookEveryMs = 500
/** Tombstones are collected within this and three times the drift bound: see `floorTuning` of the run. */
const collectionMs = 60_000

/**
 * What must be true when nothing is wrong any more and nobody asks for anything: all nodes serve, owners hold the same by
 * themselves, what was acknowledged is on all of them, and no tombstone is left.
 */
export async function checkAtRest(
  cluster: SimCluster,
  scenario: Scenario,
  ledger: Ledger,
  losesSingleCopies: boolean,
): Promise<boolean> {
  const idle = cluster.names.filter((name) => cluster.node(name).phase !== 'serving')
  if (idle.length > 0) {
    ledger.violation(`${idle.join(', ')} cannot serve although nothing is wrong any more`)
    return false
  }
  // Before anybody reads: a read would mend what it meets.
  await checkConvergence(cluster, ledger, losesSingleCopies)
  await checkCollection(cluster, scenario, ledger)
  if (scenario.changes !== undefined) await checkCopiesOfAll(cluster, ledger)
  checkBounds(cluster, ledger)
  return true
}

/** The same when all is over, and that every node serves every key then. */
export async function checkEnd(
  cluster: SimCluster,
  scenario: Scenario,
  ledger: Ledger,
  losesSingleCopies: boolean,
): Promise<void> {
  if (!(await checkAtRest(cluster, scenario, ledger, losesSingleCopies))) return
  for (let i = 0; i < scenario.keys; i++) await everyNodeServes(cluster, ledger, `k${i}`)
  await checkConvergence(cluster, ledger, losesSingleCopies)
  checkBounds(cluster, ledger)
}

async function checkConvergence(cluster: SimCluster, ledger: Ledger, losesSingleCopies: boolean): Promise<void> {
  const keys = [...ledger.keys()]
  for (let waitedMs = 0; waitedMs < convergenceMs; waitedMs += lookEveryMs) {
    if (keys.every((key) => differing(cluster, key) === undefined)) break
    await cluster.world.advance(lookEveryMs)
  }
  for (const key of keys) checkCopies(cluster, ledger, key, losesSingleCopies)
}

/** With all owners there every tombstone goes, and what is read afterwards is what was true before. */
async function checkCollection(cluster: SimCluster, scenario: Scenario, ledger: Ledger): Promise<void> {
  const left = (): number =>
    cluster.names.reduce((sum, name) => sum + (cluster.node(name).status().store?.tombstones ?? 0), 0)
  const withinMs = collectionMs + 3 * scenario.maxClockDriftMs
  for (let waitedMs = 0; waitedMs < withinMs && left() > 0; waitedMs += lookEveryMs) {
    await cluster.world.advance(lookEveryMs)
  }
  if (left() === 0) return
  const why = cluster.names.map((name) => `${name}: ${cluster.node(name).status().floors?.obstacle}`)
  ledger.violation(`${left()} tombstones stay although nothing is wrong any more: ${why.join('; ')}`)
}

/** Every key can be read and written through every node: the histories get their last word. */
async function everyNodeServes(cluster: SimCluster, ledger: Ledger, key: string): Promise<void> {
  for (const name of cluster.names) {
    await read(cluster, ledger, name, key, 'quorum')
    const value = `end-${name}`
    const call = ledger.history.call(key, 'write', value)
    const note = ledger.write(key, value)
    const stamped = ledger.stampedBy(name)
    try {
      const { version } = await cluster.settle(cluster.put(name, key, value, 'quorum', progressMs))
      call.returned()
      ledger.acknowledged(note, version, name, stamped)
    } catch (error) {
      call.failed('unknown')
      ledger.violation(`${name} cannot write ${key} although nothing is wrong any more: ${String(error)}`)
    }
  }
}

async function read(
  cluster: SimCluster,
  ledger: Ledger,
  name: string,
  key: string,
  consistency: Consistency,
): Promise<void> {
  const call = key.startsWith('k') ? ledger.history.call(key, 'read') : undefined
  const deadlineMs = cluster.process(name).clock.monotonicMs() + progressMs
  try {
    const record = await cluster.settle(cluster.node(name).get(keyBytes(key), { consistency, deadlineMs }))
    ledger.returned(key, nameOfValue(record))
    call?.returned(nameOfValue(record))
  } catch (error) {
    call?.failed('not-applied')
    ledger.violation(`${name} cannot read ${key} although nothing is wrong any more: ${String(error)}`)
  }
}

function ownersOf(cluster: SimCluster, key: string): string[] {
  const { slotTable, topology } = cluster.node(cluster.names[0]!)
  const owners = slotTable!.owners(keySlot(key))
  return Array.from(owners, (member) => topology!.members[member]!.id)
}

/** What a copy is, as far as two of them must agree: an expired value may be gone from one of them already. */
function essence(record: StoredRecord | undefined, nowMs: number): string {
  if (record === undefined) return 'nothing'
  const { hi, lo, node, tombstone, expiresAtMs, value } = record
  const gone = tombstone || (expiresAtMs !== 0 && expiresAtMs <= nowMs)
  return `${hi}.${lo}.${node} ${expiresAtMs} ${gone ? 'gone' : Buffer.from(value).toString('latin1')}`
}

/** Undefined: all owners of the key hold the same, and their digests of its slot say so. */
function differing(cluster: SimCluster, key: string): string | undefined {
  const bytes = keyBytes(key)
  const slot = keySlot(key)
  const copies = ownersOf(cluster, key).map((name) => {
    const store = cluster.node(name).localStore!
    const { hi, lo } = store.digest(slot)
    return { name, copy: essence(store.get(bytes), cluster.trueWallMs), digest: `${hi}.${lo}` }
  })
  const first = copies[0]!
  const other = copies.find(({ copy, digest }) => copy !== first.copy || digest !== first.digest)
  if (other === undefined) return undefined
  const [a, b] = [first, other].map(({ name, copy, digest }) => `${name}: ${copy.slice(0, 80)}, digest ${digest}`)
  return `${a}; ${b}`
}

/** What was acknowledged, or something newer, is on every owner, and they agree. */
function checkCopies(cluster: SimCluster, ledger: Ledger, key: string, losesSingleCopies: boolean): void {
  const difference = differing(cluster, key)
  if (difference !== undefined) ledger.violation(`${key}: owners differ: ${difference}`)
  const acknowledged = ledger.highest(key)
  if (acknowledged === undefined || (losesSingleCopies && key.startsWith('o'))) return
  for (const name of ownersOf(cluster, key)) {
    const version: Version | undefined = cluster.node(name).localStore!.getVersion(keyBytes(key))
    if (version === undefined || compareVersions(version, acknowledged.version) < 0) {
      ledger.violation(`${key}: what was acknowledged is not on ${name}`)
    }
  }
}

/** What a cluster at rest keeps is bounded by what it is for, not by what has happened to it. */
function checkBounds(cluster: SimCluster, ledger: Ledger): void {
  const { linkEnds } = cluster.world.network
  // Each node calls each other one, may have a link to it for gossip as well, and a link has two ends.
  const nodes = cluster.names.length
  const linkEndsMax = 4 * nodes * (nodes - 1)
  if (linkEnds > linkEndsMax) ledger.violation(`at rest there are ${linkEnds} ends of links, not ${linkEndsMax}`)
  for (const name of cluster.names) {
    const { store } = cluster.node(name).status()
    const keys = [...ledger.keys()].length
    if (store === undefined || store.entries + store.tombstones > keys) {
      ledger.violation(`${name} holds ${(store?.entries ?? 0) + (store?.tombstones ?? 0)} records of ${keys} keys`)
    }
  }
}
