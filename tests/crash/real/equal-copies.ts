import { type ClusterStatus, type KvClient, KvError, type RepairProgress } from '@quorumkv/client'
import { eventually } from '../../fixtures.js'

/** Undefined: it did not answer. */
async function statusOf(client: KvClient, address: string): Promise<ClusterStatus | undefined> {
  try {
    return await client.status(address, { timeoutMs: 5_000 })
  } catch (error) {
    if (error instanceof KvError) return undefined
    throw error
  }
}

/** Every member says of every other that it is alive, and all go by one topology. Its epoch; throws after `withinMs`. */
export async function untilLinked(client: KvClient, addresses: readonly string[], withinMs: number): Promise<number> {
  let epoch = 0
  await eventually(
    'all members see each other',
    async () => {
      const all = await Promise.all(addresses.map((address) => statusOf(client, address)))
      epoch = all[0]?.epoch ?? 0
      return all.every(
        (status) =>
          status?.epoch === epoch &&
          status.members.length === addresses.length &&
          status.members.every(({ liveness }) => liveness === 'alive'),
      )
    },
    withinMs,
  )
  return epoch
}

/**
 * Waits, and does nothing else, until every node has compared its copy with every other member's since now, found no
 * slot that differs, and keeps no write that somebody has missed.
 */
export async function untilConverged(client: KvClient, addresses: readonly string[], withinMs: number): Promise<void> {
  const startedMs = performance.now()
  const converged = async (address: string): Promise<boolean> => {
    const status = await statusOf(client, address)
    if (status === undefined) return false
    const { convergence, hints, storage } = status
    const agoMs = performance.now() - startedMs
    return (
      storage.lostSlots === 0 &&
      hints.every((waiting) => waiting.hints === 0) &&
      convergence.peers.length === addresses.length - 1 &&
      convergence.peers.every(
        ({ comparedMsAgo, differingSlots, obstacle }) =>
          obstacle === '' && differingSlots === 0 && comparedMsAgo !== undefined && comparedMsAgo < agoMs,
      )
    )
  }
  const what = 'all copies are equal by themselves'
  await eventually(what, async () => (await Promise.all(addresses.map(converged))).every(Boolean), withinMs)
}

/** Lets every node compare its copy with those of all others: what they found, in the order of the nodes. */
export async function compareAll(client: KvClient, addresses: readonly string[]): Promise<RepairProgress[]> {
  return await Promise.all(
    addresses.map(async (address) => {
      let last: RepairProgress | undefined
      for await (const progress of client.repair(address, { timeoutMs: 10_000 })) last = progress
      return last!
    }),
  )
}

/** Compares, and so makes equal, until a comparison of all with all finds nothing that differs. */
export async function untilEqual(client: KvClient, addresses: readonly string[], withinMs: number): Promise<void> {
  await eventually(
    'a comparison of all copies finds nothing',
    async () =>
      (await compareAll(client, addresses)).every(
        ({ slotsDiffering, slotsSkipped, obstacles }) =>
          slotsDiffering === 0 && slotsSkipped === 0 && obstacles.length === 0,
      ),
    withinMs,
  )
}

/** Waits until members hold nothing but what they own: each key that there is, so often as it has owners. Nobody may write. */
export async function untilTidy(client: KvClient, addresses: readonly string[], withinMs: number): Promise<void> {
  let keys = 0
  for await (const _ of client.scan({ keysOnly: true, timeoutMs: 60_000 })) keys++
  const owners = (await client.topology()).owners(0).length
  let held = 0
  const tidy = async (): Promise<boolean> => {
    const statuses = await Promise.all(addresses.map((address) => client.status(address)))
    held = statuses.reduce((sum, { storage }) => sum + storage.entries, 0)
    return held === owners * keys
  }
  try {
    await eventually('nobody holds what is not his', tidy, withinMs)
  } catch (error) {
    throw new Error(`${held} copies of ${keys} keys with ${owners} owners each`, { cause: error })
  }
}
