import { isDeepStrictEqual } from 'node:util'
import { allSlots, slotTable } from '@quorumkv/internal/slots'
import type { SimCluster } from '../sim-cluster.js'
import type { Ledger } from './ledger.js'

/** Copies of slots are equal, and what others own is dropped, within this. */
const tidyMs = 120_000
const lookEveryMs = 1_000
const toldMax = 5

/** What is still under way in the topology; empty: all nodes go by one, it names just those that run, and all of them serve. */
export function settled(cluster: SimCluster): string {
  const names = cluster.names
  const down = names.filter((name) => !cluster.runningNames.includes(name))
  if (down.length > 0) return `${down.join(', ')} does not run`
  const first = cluster.node(names[0]!).topology
  if (first === undefined) return `${names[0]} is no member`
  for (const name of names) {
    const { topology, phase } = cluster.node(name)
    if (phase !== 'serving') return `${name} is ${phase}`
    if (topology!.epoch !== first.epoch) return `${name} is at epoch ${topology!.epoch}, ${names[0]} at ${first.epoch}`
    if (!isDeepStrictEqual(topology, first)) return `${name} has another epoch ${first.epoch} than ${names[0]}`
  }
  if (first.handover !== undefined) {
    const waits = cluster.node(names[0]!).status().handover
    const obstacles = waits?.reports.map(({ id, done, slots, obstacle }) => `${id} ${done}/${slots} ${obstacle}`)
    return `a handover is in its step ${first.handover.step}, waits for ${waits?.waitsFor.join()}: ${obstacles?.join('; ')}`
  }
  if (first.planned.length > 0) return `planned: ${JSON.stringify(first.planned)}`
  const restless = first.members.filter(({ state }) => state !== 'serving').map(({ id, state }) => `${id} is ${state}`)
  if (restless.length > 0) return restless.join(', ')
  const members = first.members.map(({ id }) => id as string)
  const [known, run] = [[...members].sort().join(), [...names].sort().join()]
  return known === run ? '' : `the members are ${known}, and those that run ${run}`
}

/** A slot's copies are equal on all its owners, and nobody else has any; and nobody is a member twice. */
export async function checkCopiesOfAll(cluster: SimCluster, ledger: Ledger): Promise<void> {
  for (let waitedMs = 0; waitedMs < tidyMs && untidy(cluster).length > 0; waitedMs += lookEveryMs) {
    await cluster.world.advance(lookEveryMs)
  }
  for (const what of untidy(cluster).slice(0, toldMax)) ledger.violation(`${what} although nothing is wrong any more`)
  const { members } = cluster.node(cluster.names[0]!).topology!
  for (const each of ['id', 'incarnation', 'address', 'number'] as const) {
    const different = new Set(members.map((member) => member[each]))
    if (different.size < members.length) ledger.violation(`two members have one ${each}`)
  }
}

function untidy(cluster: SimCluster): string[] {
  const topology = cluster.node(cluster.names[0]!).topology!
  const table = slotTable(topology)
  const stores = topology.members.map(({ id }) => cluster.node(id).localStore!)
  const found: string[] = []
  for (const slot of allSlots()) {
    const first = table.owners(slot)[0]!
    const { hi, lo } = stores[first]!.digest(slot)
    for (const [member, store] of stores.entries()) {
      const name = topology.members[member]!.id
      if (!table.ownsSlot(member, slot)) {
        if (store.holds(slot)) found.push(`${name} holds slot ${slot}, which others own,`)
        continue
      }
      const digest = store.digest(slot)
      if (digest.hi !== hi || digest.lo !== lo) {
        found.push(`${name} and ${topology.members[first]!.id} hold different copies of slot ${slot}`)
      }
    }
  }
  return found
}
