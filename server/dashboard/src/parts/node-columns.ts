import type { NodeView } from '../../../src/feed/view.js'
import { durationText } from '../../../src/feed/words.js'
import { bytesText, countText, latencyText, offsetText, percentText, rateText, unknown } from '../format.js'
import { totalErrors, totalRate, writeLatency } from '../live/metrics.js'

/** One row of the table of nodes. */
export interface NodeRowFacts {
  readonly id: string
  readonly node: NodeView
  /** Of all slots, that it is the first owner of; undefined: none yet. */
  readonly owned: number | undefined
  readonly nowMs: number
}

export interface NodeColumn {
  readonly name: string
  readonly title: string
  readonly text: (row: NodeRowFacts) => string
  /** What it is sorted by. */
  readonly order: (row: NodeRowFacts) => number | string
  /** Where there is no room for all, those with lower numbers are shown. */
  readonly rank: number
  /** How it looks: numbers and times to the right. */
  readonly kind: 'number' | 'time' | 'words' | 'code'
}

function uptime({ node, nowMs }: NodeRowFacts): number {
  return node.process === undefined ? 0 : nowMs - node.process.startedAtMs
}

/** All but the first two, which say who it is and how it is. */
export const nodeColumns: readonly NodeColumn[] = [
  {
    name: 'Address',
    title: 'Where it is reached',
    text: ({ node }) => node.member.address,
    order: ({ node }) => node.member.address,
    rank: 5,
    kind: 'code',
  },
  {
    name: 'Zone',
    kind: 'words',
    title: 'Copies are spread over zones',
    text: ({ node }) => node.member.zone || unknown,
    order: ({ node }) => node.member.zone,
    rank: 12,
  },
  {
    name: 'Version',
    kind: 'words',
    title: 'Release of its software',
    text: ({ node }) => node.process?.version ?? unknown,
    order: ({ node }) => node.process?.version ?? '',
    rank: 7,
  },
  {
    name: 'Incarnation',
    title: 'Its life: a new one with each empty data directory',
    text: ({ node }) => node.member.incarnation.slice(0, 8),
    order: ({ node }) => node.member.incarnation,
    rank: 10,
    kind: 'code',
  },
  {
    name: 'Uptime',
    kind: 'time',
    title: 'Since its process began',
    text: (row) => (row.node.process === undefined ? unknown : durationText(uptime(row))),
    order: uptime,
    rank: 0,
  },
  {
    name: 'Clock',
    kind: 'number',
    title: 'Its wall clock less the median of the others',
    text: ({ node }) => offsetText(node.process?.clockOffsetMs),
    order: ({ node }) => Math.abs(node.process?.clockOffsetMs ?? 0),
    rank: 0,
  },
  {
    name: 'RTT',
    kind: 'number',
    title: 'Median of the round trips that the others measure to it',
    text: ({ node }) => latencyText(node.opinion.rttMedianUs),
    order: ({ node }) => node.opinion.rttMedianUs,
    rank: 3,
  },
  {
    name: 'Ops/s',
    kind: 'number',
    title: 'Operations that it coordinates for clients',
    text: ({ node }) => rateText(node.load && totalRate(node.load.coordinator)),
    order: ({ node }) => totalRate(node.load?.coordinator),
    rank: 0,
  },
  {
    name: 'Replica/s',
    kind: 'number',
    title: 'Operations of which it answers its part to other nodes',
    text: ({ node }) => rateText(node.load && totalRate(node.load.replica)),
    order: ({ node }) => totalRate(node.load?.replica),
    rank: 4,
  },
  {
    name: 'Errors/s',
    kind: 'number',
    title: 'Failed operations of clients',
    text: ({ node }) => rateText(node.load && totalErrors(node.load.coordinator)),
    order: ({ node }) => totalErrors(node.load?.coordinator),
    rank: 0,
  },
  {
    name: 'Read p99',
    kind: 'number',
    title: 'Coordinated reads',
    text: ({ node }) => latencyText(node.load?.coordinator.get?.p99),
    order: ({ node }) => node.load?.coordinator.get?.p99 ?? 0,
    rank: 0,
  },
  {
    name: 'Write p99',
    kind: 'number',
    title: 'Coordinated puts and deletes',
    text: ({ node }) => latencyText(writeLatency(node.load?.coordinator)?.p99),
    order: ({ node }) => writeLatency(node.load?.coordinator)?.p99 ?? 0,
    rank: 0,
  },
  {
    name: 'Owns',
    kind: 'number',
    title: 'Share of the slots whose first owner it is',
    text: ({ owned }) => percentText(owned),
    order: ({ owned }) => owned ?? 0,
    rank: 6,
  },
  {
    name: 'Keys',
    kind: 'number',
    title: 'Live keys of which it has a copy',
    text: ({ node }) => countText(node.storage?.entries),
    order: ({ node }) => node.storage?.entries ?? 0,
    rank: 1,
  },
  {
    name: 'Data',
    kind: 'number',
    title: 'Bytes of keys and values in memory',
    text: ({ node }) => bytesText(node.storage?.dataBytes),
    order: ({ node }) => node.storage?.dataBytes ?? 0,
    rank: 11,
  },
  {
    name: 'Log',
    kind: 'number',
    title: 'Bytes of log on its disk',
    text: ({ node }) => bytesText(node.storage?.logBytes),
    order: ({ node }) => node.storage?.logBytes ?? 0,
    rank: 8,
  },
  {
    name: 'fsync p99',
    kind: 'number',
    title: 'fdatasync of its log',
    text: ({ node }) => latencyText(node.storage?.fdatasync.p99),
    order: ({ node }) => node.storage?.fdatasync.p99 ?? 0,
    rank: 0,
  },
  {
    name: 'Snapshot',
    kind: 'time',
    title: 'Age of its newest snapshot',
    text: snapshotText,
    order: ({ node }) => node.storage?.snapshotAtMs ?? 0,
    rank: 13,
  },
  {
    name: 'Loop p99',
    kind: 'number',
    title: 'How late its event loop is',
    text: ({ node }) => latencyText(node.process?.loopDelay.p99),
    order: ({ node }) => node.process?.loopDelay.p99 ?? 0,
    rank: 0,
  },
  {
    name: 'CPU',
    kind: 'number',
    title: 'Processors used',
    text: ({ node }) => node.process?.cpu.toFixed(2) ?? unknown,
    order: ({ node }) => node.process?.cpu ?? 0,
    rank: 2,
  },
  {
    name: 'RSS',
    kind: 'number',
    title: 'Memory of its process',
    text: ({ node }) => bytesText(node.process?.rssBytes),
    order: ({ node }) => node.process?.rssBytes ?? 0,
    rank: 0,
  },
  {
    name: 'Hints',
    kind: 'number',
    title: 'Missed writes that it keeps for others',
    text: ({ node }) => countText(node.repair?.hintsWaiting),
    order: ({ node }) => node.repair?.hintsWaiting ?? 0,
    rank: 9,
  },
  {
    name: 'Clients',
    kind: 'number',
    title: 'Sessions of clients',
    text: ({ node }) => countText(node.process?.sessions),
    order: ({ node }) => node.process?.sessions ?? 0,
    rank: 14,
  },
]

/** As wide as the style sheet has them; the first two are those of state and node. */
const namedPx = 92 + 90
const widthsPx: Readonly<Record<NodeColumn['kind'], number>> = { number: 76, time: 92, words: 68, code: 136 }

/** The columns for which a table so wide has room. */
export function columnsFor(px: number): readonly NodeColumn[] {
  let leftPx = px - namedPx
  const fitting = new Set<NodeColumn>()
  for (const column of [...nodeColumns].sort((a, b) => a.rank - b.rank)) {
    leftPx -= widthsPx[column.kind]
    if (leftPx < 0) break
    fitting.add(column)
  }
  return nodeColumns.filter((column) => fitting.has(column))
}

export function snapshotText({ node, nowMs }: Pick<NodeRowFacts, 'node' | 'nowMs'>): string {
  const { storage } = node
  if (storage === undefined) return unknown
  if (storage.snapshotRunning) return 'running'
  return storage.snapshotAtMs === 0 ? 'none yet' : durationText(nowMs - storage.snapshotAtMs)
}
