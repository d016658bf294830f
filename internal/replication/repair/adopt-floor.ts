import { limits } from '../../base/index.js'
import { hlcMs } from '../../hlc/index.js'
import { type Floor, floorTombstone, type StoredRecord } from '../../record/index.js'
import type { Store } from '../../store/index.js'

/** Names of keys, for sets. */
export function keyName(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}

/**
 * Takes over the floor of another owner whose records of this slot have all been merged: what the floor covers and the other
 * does not hold (`names`, of `keyName`) has been collected there, so it is deleted here too, and comes from an old
 * disk or was missed. The floor must be from before the first of those records was read. Rejects with KvError.
 *
 * False, and the floor is where it was, when that does not go on any more (`goesOn`): the slot may have been emptied
 * since it was merged, and under a floor whatever it lacks would count as deleted.
 */
export async function adoptFloor(
  store: Store,
  { slot, floorMs }: Floor,
  names: ReadonlySet<string>,
  goesOn: () => boolean,
): Promise<boolean> {
  if (!goesOn()) return false
  if (floorMs <= store.floorMs(slot)) return true
  const buried: StoredRecord[] = []
  store.scanSlot(slot, (record) => {
    if (hlcMs(record) > floorMs || names.has(keyName(record.key))) return
    buried.push(floorTombstone(record.key.slice(), floorMs))
  })
  for (let i = 0; i < buried.length; i += limits.refillPageEntriesMax) {
    await store.commit(buried.slice(i, i + limits.refillPageEntriesMax))
  }
  if (!goesOn()) return false
  await store.raiseFloors([{ slot, floorMs }])
  return true
}
