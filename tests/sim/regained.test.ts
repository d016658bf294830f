import type { Disk, DiskFile } from '@quorumkv/internal/env'
import { expect, test } from 'vitest'
import { fill, join, leave, reached, step, threeOf } from './handover-scene.js'
import { keySlot } from './play/keys.js'
import type { SimCluster } from './sim-cluster.js'

/** A disk of one node on which what is written to the log becomes durable only when it may. */
class HeldLog {
  /** Settles when syncs may go on; undefined: they may. */
  #held: Promise<void> | undefined
  #release: () => void = () => undefined
  /** Syncs that wait. */
  waiting = 0

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#release = resolve
    })
  }

  release(): void {
    this.#held = undefined
    this.#release()
  }

  diskOf(name: string, disk: Disk): Disk {
    if (name !== 'n1') return disk
    const open = async (path: string, mode: Parameters<Disk['open']>[1]): Promise<DiskFile> => {
      const file = await disk.open(path, mode)
      if (!path.startsWith('log/')) return file
      const sync = async (): Promise<void> => {
        this.waiting++
        await this.#held
        this.waiting--
        await file.sync()
      }
      return new Proxy(file, { get: (_, of) => (of === 'sync' ? sync : memberOf(file, of)) })
    }
    return new Proxy(disk, { get: (_, of) => (of === 'open' ? open : memberOf(disk, of)) })
  }
}

function memberOf(target: object, name: string | symbol): unknown {
  const member: unknown = Reflect.get(target, name)
  return typeof member === 'function' ? member.bind(target) : member
}

/** The keys that a node is read for and does not hold. */
function lacking(cluster: SimCluster, name: string, keys: readonly string[]): string[] {
  const { localStore, slotTable, topology } = cluster.node(name)
  const member = topology!.members.findIndex(({ id }) => id === name)
  return keys.filter(
    (key) => slotTable!.ownsSlot(member, keySlot(key)) && localStore!.getVersion(Buffer.from(key)) === undefined,
  )
}

test('a slot that comes back while it is being emptied comes as a whole: what is here of it still will be gone', async () => {
  const log = new HeldLog()
  const cluster = await threeOf({ seed: 'regained', diskOf: (name, disk) => log.diskOf(name, disk) })
  const keys = await fill(cluster, 300)
  await join(cluster, 'n4')
  await reached(cluster, 'switch')
  log.hold()
  await cluster.world.runUntil(() => step(cluster) === undefined && log.waiting > 0, 10_000)
  await leave(cluster, 'n4')
  await reached(cluster, 'both')
  await cluster.world.advance(2_000)
  expect(step(cluster), 'what is here is not durable').toBe('both')
  log.release()
  await reached(cluster, 'switch')
  expect(lacking(cluster, 'n1', keys)).toEqual([])
})
