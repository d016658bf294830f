import { assert } from '../../base/index.js'
import type { Disk, Log } from '../../env/index.js'
import { allSlots, slotTable, type Topology } from '../../slots/index.js'
import { type Identity, writeIdentity, writeLostSlots } from '../../store/index.js'
import { writeTopology } from '../topology/topology-document.js'

/**
 * Makes a data directory that of a member which this topology names. Durable when it resolves; a crash on the way leaves
 * a directory that belongs to no cluster yet, and begins again. Throws DiskErrors.
 */
export async function writeArrival(disk: Disk, log: Log, identity: Identity, topology: Topology): Promise<void> {
  const table = slotTable(topology)
  const self = table.members.findIndex(({ incarnation }) => incarnation === identity.incarnation)
  assert(self >= 0, 'a node arrives where it is named')
  const { since, state } = table.members[self]!
  if (since > 1) {
    log.info('taken in by the cluster: what it owns has to be refilled', { epoch: topology.epoch, since, state })
    // Before anything says that this directory belongs to a member: it holds nothing of what the name stands for. What
    // it does not own nobody asks it for; whoever becomes an owner later gets the slot's contents then.
    const owned = allSlots().filter((slot) => table.ownsSlot(self, slot))
    await writeLostSlots(disk, owned)
  }
  await writeIdentity(disk, { ...identity, clusterId: topology.clusterId })
  await writeTopology(disk, topology)
}
