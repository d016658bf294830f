import { FatalError, type Slot } from '@quorumkv/internal/base'
import { compareVersions } from '@quorumkv/internal/hlc'
import { compareRecords, isFloorVersion, type StoredRecord } from '@quorumkv/internal/record'
import { slotCount, slotOf } from '@quorumkv/internal/slots'
import type { SimCluster } from '../sim/sim-cluster.js'
import type { Versions } from './answers.js'
import type { Check, Held } from './language.js'
import { shortened, shownVersion, textOf } from './messages.js'

/** What a check looks at besides the cluster. */
export interface Evidence {
  readonly versions: Versions
  /** What the log of the present life of a node says. */
  readonly said: ReadonlyMap<string, readonly string[]>
  /** Why nodes had to end. */
  readonly ended: ReadonlyMap<string, Error>
}

/** Undefined: it holds. Otherwise what was found instead. */
export function checkNow(check: Check, cluster: SimCluster, evidence: Evidence): string | undefined {
  switch (check.kind) {
    case 'disk':
      return checkHeld(check.held, recordOn(cluster, check.node, check.key), evidence.versions)
    case 'agree':
      return checkAgreement(cluster, check.key, evidence.versions)
    case 'sees': {
      const member = cluster.node(check.node).topology?.members.find(({ id }) => id === check.other)
      const linked = member !== undefined && cluster.node(check.node).linked(member.id)
      const liveness = member === undefined ? 'no member' : linked ? 'alive' : 'down'
      return liveness === check.liveness ? undefined : liveness
    }
    case 'connected':
      return checkConnected(cluster)
    case 'ended': {
      const error = evidence.ended.get(check.node)
      const reason = error instanceof FatalError ? error.reason : String(error ?? 'it runs')
      return reason === check.reason ? undefined : reason
    }
    case 'says': {
      const said = evidence.said.get(check.node) ?? []
      return said.some((line) => line.includes(check.text)) ? undefined : `only: ${said.join('; ')}`
    }
    case 'lost-slots': {
      const lost = cluster.node(check.node).status().store?.lostSlots
      if (lost === undefined) return 'it has no store yet'
      return lost === (check.count === 'all' ? slotCount : check.count) ? undefined : `${lost} are lost`
    }
    case 'hints': {
      const { holder, owner, count } = check
      const kept =
        cluster
          .node(holder)
          .status()
          .hints.find(({ node }) => node === owner)?.hints ?? 0
      return (count === 'some' ? kept > 0 : kept === count) ? undefined : `${kept} are kept`
    }
    case 'order': {
      const [lower, higher] = [evidence.versions.get(check.lower), evidence.versions.get(check.higher)]
      if (lower === undefined || higher === undefined) return 'nobody has seen both of them yet'
      return compareVersions(lower, higher) < 0 ? undefined : `${shownVersion(lower)} and ${shownVersion(higher)}`
    }
    default:
      return check satisfies never
  }
}

function recordOn(cluster: SimCluster, node: string, key: string): StoredRecord | undefined {
  return cluster.node(node).localStore?.get(new TextEncoder().encode(key))
}

function checkHeld(held: Held, record: StoredRecord | undefined, versions: Versions): string | undefined {
  return fitsHeld(held, record, versions) ? undefined : shownRecord(record, versions)
}

function fitsHeld(held: Held, record: StoredRecord | undefined, versions: Versions): boolean {
  if (held.kind === 'absent' || record === undefined) return held.kind === 'absent' && record === undefined
  const collected = isFloorVersion(record)
  if (held.kind === 'collected' || collected) return held.kind === 'collected' && collected
  if (record.tombstone !== (held.kind === 'deleted')) return false
  if (held.kind === 'value' && textOf(record.value) !== held.value) return false
  return versions.accept(held.version, record)
}

function shownRecord(record: StoredRecord | undefined, versions: Versions): string {
  if (record === undefined) return 'absent'
  if (isFloorVersion(record)) return 'collected'
  return `${record.tombstone ? 'deleted' : shortened(textOf(record.value))} ${versions.shown(record)}`
}

/** Nodes that serve and own the key. */
function ownersOf(cluster: SimCluster, key: string): string[] {
  const slot: Slot = slotOf(new TextEncoder().encode(key))
  return cluster.runningNames.filter((name) => {
    const { topology, slotTable } = cluster.node(name)
    const index = topology?.members.findIndex(({ id }) => id === name) ?? -1
    return index >= 0 && slotTable?.ownsSlot(index, slot) === true
  })
}

function checkAgreement(cluster: SimCluster, key: string, versions: Versions): string | undefined {
  const owners = ownersOf(cluster, key)
  const [first, ...others] = owners.map((name) => recordOn(cluster, name, key))
  const same = others.every((record) => {
    if (record === undefined || first === undefined) return record === first
    return compareRecords(record, first) === 0
  })
  if (same) return undefined
  return owners.map((name) => `${name}: ${shownRecord(recordOn(cluster, name, key), versions)}`).join(', ')
}

function checkConnected(cluster: SimCluster): string | undefined {
  const names = cluster.runningNames
  for (const name of names) {
    const node = cluster.node(name)
    for (const member of node.topology?.members ?? []) {
      if (names.includes(member.id) && !node.linked(member.id)) return `${name} does not see ${member.id}`
    }
    if (node.topology === undefined) return `${name} has no cluster`
  }
  return undefined
}
