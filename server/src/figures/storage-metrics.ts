import type { Instruments } from '@quorumkv/internal/base'
import type { StoreStatistics } from '@quorumkv/internal/store'
import type { MetricDefinition, Sample, Scrape } from './metrics.js'

/** One value of the store, once it is open. */
function ofStore(read: (store: StoreStatistics) => number): (scrape: Scrape) => readonly Sample<number>[] {
  return ({ status }) => (status?.store === undefined ? [] : [[read(status.store)]])
}

function counted(
  read: (instruments: Instruments, nowMs: number) => number | undefined,
): (scrape: Scrape) => readonly Sample<number>[] {
  return ({ node, nowMs }) => {
    const value = node === undefined ? undefined : read(node.instruments, nowMs)
    return value === undefined ? [] : [[value]]
  }
}

const table: readonly MetricDefinition[] = [
  { type: 'gauge', name: 'kv_table_entries', help: 'Live keys', read: ofStore(({ entries }) => entries) },
  {
    type: 'gauge',
    name: 'kv_table_tombstones',
    help: 'Deletes that are kept until every owner has them',
    read: ofStore(({ tombstones }) => tombstones),
  },
  {
    type: 'gauge',
    name: 'kv_table_bytes',
    help: 'Memory that the table holds',
    read: ofStore(({ tableBytes }) => tableBytes),
  },
  {
    type: 'gauge',
    name: 'kv_table_data_bytes',
    help: 'Keys and values in the table',
    read: ofStore(({ dataBytes }) => dataBytes),
  },
  {
    type: 'gauge',
    name: 'kv_lost_slots',
    help: 'Slots that the node does not answer for until it has refilled them',
    read: ofStore(({ lostSlots }) => lostSlots),
  },
]

const log: readonly MetricDefinition[] = [
  {
    type: 'histogram',
    name: 'kv_fdatasync_duration_seconds',
    help: 'How long syncs of the log took',
    read: ({ node }) => (node === undefined ? [] : [[node.instruments.fdatasync]]),
  },
  { type: 'gauge', name: 'kv_log_bytes', help: 'Of the kept log', read: ofStore(({ logBytes }) => logBytes) },
  {
    type: 'gauge',
    name: 'kv_log_segments',
    help: 'Files of the kept log',
    read: ofStore(({ logSegments }) => logSegments),
  },
  {
    type: 'counter',
    name: 'kv_log_written_bytes_total',
    help: 'Written to the log since it was opened',
    read: ofStore(({ logAppendedBytes }) => logAppendedBytes),
  },
  {
    type: 'gauge',
    name: 'kv_read_only',
    help: '1: the disk is full and writes are refused',
    read: ofStore(({ readOnly }) => (readOnly ? 1 : 0)),
  },
  {
    type: 'counter',
    name: 'kv_rotten_files_total',
    help: 'Kept files that were found damaged and replaced',
    read: ofStore(({ rottenFiles }) => rottenFiles),
  },
  {
    type: 'counter',
    name: 'kv_scrubbed_bytes_total',
    help: 'Bytes of kept files that were read back to see whether they are damaged',
    read: ofStore(({ scrubbedBytes }) => scrubbedBytes),
  },
]

const snapshots: readonly MetricDefinition[] = [
  {
    type: 'counter',
    name: 'kv_snapshots_total',
    help: 'Snapshots that were taken',
    read: counted((node) => node.snapshots),
  },
  {
    type: 'counter',
    name: 'kv_snapshot_failures_total',
    help: 'Snapshots that were begun and not taken',
    read: counted((node) => node.snapshotsFailed),
  },
  {
    type: 'gauge',
    name: 'kv_snapshot_running',
    help: '1: one is being taken',
    read: counted(({ snapshotRunning }) => (snapshotRunning ? 1 : 0)),
  },
  {
    type: 'gauge',
    name: 'kv_snapshot_duration_seconds',
    help: 'How long the newest took',
    read: counted(({ snapshots: taken, snapshotMs }) => (taken === 0 ? undefined : snapshotMs / 1_000)),
  },
  {
    type: 'gauge',
    name: 'kv_snapshot_bytes',
    help: 'Of the newest',
    read: counted(({ snapshots: taken, snapshotBytes }) => (taken === 0 ? undefined : snapshotBytes)),
  },
  {
    type: 'gauge',
    name: 'kv_snapshot_age_seconds',
    help: 'Since the newest was taken; missing until the first since the start',
    read: counted(({ snapshotTakenMs: taken }, nowMs) => (taken === undefined ? undefined : (nowMs - taken) / 1_000)),
  },
]

/** The store and its files. */
export const storageMetrics: readonly MetricDefinition[] = [...table, ...log, ...snapshots]
