import type { NodeStatus } from '@quorumkv/internal/cluster'
import type { StoreStatistics } from '@quorumkv/internal/store'
import type { StorageStatus } from '@quorumkv/proto/kv/v1/cluster'

/** A node's own store, as Status and Figures tell of it. */
export function toStorage(store: StoreStatistics, refillObstacle: string, floors: NodeStatus['floors']): StorageStatus {
  return {
    entries: BigInt(store.entries),
    tombstones: BigInt(store.tombstones),
    tableBytes: BigInt(store.tableBytes),
    logBytes: BigInt(store.logBytes),
    logSegments: store.logSegments,
    lastSequence: BigInt(store.lastSequence),
    snapshotSequence: BigInt(store.snapshotSequence),
    readOnly: store.readOnly,
    lostSlots: store.lostSlots,
    refillObstacle,
    floorMs: BigInt(floors?.lowestMs ?? 0),
    floorObstacle: floors?.obstacle ?? '',
  }
}
