import { FatalError, limits } from '../base/index.js'
import { DiskError } from '../env/index.js'
import { type WalOptions, WriteAheadLog } from '../wal/index.js'
import { DurableStore } from './durable-store.js'
import { writeManifest } from './manifest.js'
import { recover } from './recovery.js'
import type { Store, StoreOptions } from './store.js'

/**
 * Opens the store of a data directory, creating it where there is none, and brings back everything that was ever
 * acknowledged. The directory must belong to this process alone. Throws FatalError: `corrupt` where something is
 * damaged, missing or someone else's, `disk-failed` where the disk does not work.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { disk, clock, log, instruments, clusterId, incarnation, fsync, fsyncIntervalMs, onFatal, tuning } = options
  const walOptions: WalOptions = {
    disk,
    clock,
    log,
    instruments,
    clusterId,
    incarnation,
    fsync,
    fsyncIntervalMs,
    segmentBytes: tuning?.logSegmentBytes ?? limits.logSegmentBytes,
    preallocateBytes: tuning?.logPreallocateBytes ?? limits.logPreallocateBytes,
    onFatal,
  }
  try {
    const startedMs = clock.monotonicMs()
    const recovered = await recover(options, walOptions)
    const wal = await WriteAheadLog.open(walOptions, recovered.tail)
    try {
      if (!recovered.hasManifest) await writeManifest(disk, options)
    } catch (error) {
      await wal.close()
      throw error
    }
    const { table, tail, snapshot } = recovered
    log.info('opened the store', {
      entries: table.entries,
      tombstones: table.tombstones,
      lastSequence: tail.lastSequence,
      snapshotSequence: snapshot?.sequence ?? 0,
      tookMs: Math.round(clock.monotonicMs() - startedMs),
    })
    if (recovered.lost.count > 0) {
      // Whether another replica has what is missing is not known here.
      const advice =
        'replicas elsewhere refill them; where there is none, "kv-server repair --accept-loss" goes on without them'
      log.warn('slots of this store are lost: it has no say in them', { slots: recovered.lost.count, advice })
    }
    return new DurableStore(options, wal, recovered)
  } catch (error) {
    if (error instanceof DiskError) throw new FatalError('disk-failed', error.message, error)
    throw error
  }
}
