import type { Slot } from '@quorumkv/internal/base'
import type { Node } from '@quorumkv/internal/cluster'
import { allSlots, slotTable, type Topology } from '@quorumkv/internal/slots'

/** Why the copies of some slot are not known to be equal on all of its owners; undefined: they are. */
export function copiesObstacle(nodes: ReadonlyMap<number, Node>): string | undefined {
  const cores = [...nodes.values()]
  for (const core of cores) {
    const obstacle = unrest(core)
    if (obstacle !== undefined) return `${core.id}: ${obstacle}`
  }
  const topology = newest(cores)
  if (topology === undefined) return 'there is no cluster yet'
  const missing = topology.members.find(({ id }) => !cores.some((core) => core.id === id))
  if (missing !== undefined) return `${missing.id} is a member, and down`
  const behind = cores.find((core) => core.topology?.epoch !== topology.epoch)
  if (behind !== undefined) return `${behind.id} has not heard of epoch ${topology.epoch} yet`
  const table = slotTable(topology)
  // In the order of the members, by whose places in it the table names owners.
  const members = table.members.map(({ id }) => cores.find((core) => core.id === id)!)
  for (const slot of allSlots()) {
    const owners = [...table.owners(slot)].map((member) => members[member]!)
    if (!hold(owners, slot)) return `slot ${slot} differs between ${owners.map(({ id }) => id).join(', ')}`
  }
  return undefined
}

/** The topology of the latest epoch that any of them goes by. */
function newest(cores: readonly Node[]): Topology | undefined {
  let found: Topology | undefined
  for (const { topology } of cores) {
    if (topology !== undefined && (found === undefined || topology.epoch > found.epoch)) found = topology
  }
  return found
}

/** Whether all owners of a slot hold the same. */
function hold(owners: readonly Node[], slot: Slot): boolean {
  const [first, ...others] = owners.map(({ localStore }) => localStore)
  if (first === undefined) return false
  const { hi, lo } = first.digest(slot)
  return others.every((store) => {
    const digest = store?.digest(slot)
    return digest?.hi === hi && digest.lo === lo
  })
}

/** What a node has yet to do before its copy can be final. */
function unrest(core: Node): string | undefined {
  const { store, hints, handover } = core.status()
  if (handover !== undefined) return 'a handover runs'
  if (store === undefined) return 'it has no copy yet'
  if ((core.localStore?.lostCount ?? 0) > 0) return 'slots are being refilled'
  const waiting = hints.find((each) => each.hints > 0)
  return waiting === undefined ? undefined : `hints wait for ${waiting.node}`
}
