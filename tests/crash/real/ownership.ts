import type { ClusterTopology } from '@quorumkv/client'

/** How many slots each member owns, by name. */
export function loads(topology: ClusterTopology): Map<string, number> {
  const counts = new Map<string, number>()
  for (let slot = 0; slot < topology.slots; slot++) {
    for (const { id } of topology.owners(slot)) counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  return counts
}

/** The share of all copies of slots that somebody has now who had none of that slot before. */
export function moved(before: ClusterTopology, after: ClusterTopology): number {
  let [copies, newOnes] = [0, 0]
  for (let slot = 0; slot < after.slots; slot++) {
    const had = new Set(before.owners(slot).map(({ id }) => id))
    for (const { id } of after.owners(slot)) {
      copies++
      if (!had.has(id)) newOnes++
    }
  }
  return newOnes / copies
}
