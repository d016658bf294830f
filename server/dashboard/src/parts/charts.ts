import { bytesText, countText, latencyText, rateText } from '../format.js'
import type { Metric } from '../live/metrics.js'

export interface ChartSeries {
  readonly name: string
  readonly metric: Metric
  /** Place in the palette. */
  readonly colour: 0 | 1 | 2 | 3
}

export interface ChartDescription {
  readonly title: string
  readonly hint: string
  readonly series: readonly ChartSeries[]
  readonly text: (value: number | undefined) => string
  /** Latencies of which one is a hundred times another are only seen together on a logarithmic scale. */
  readonly logarithmic: boolean
  /** Between marks of the scale; undefined: round decimals. */
  readonly steps?: readonly number[]
}

const percentiles = (p50: Metric, p99: Metric, p999: Metric): readonly ChartSeries[] => [
  { name: 'p50', metric: p50, colour: 0 },
  { name: 'p99', metric: p99, colour: 1 },
  { name: 'p99.9', metric: p999, colour: 2 },
]

const latency = (title: string, hint: string, series: readonly ChartSeries[]): ChartDescription => {
  return { title, hint, series, text: latencyText, logarithmic: true }
}

/** Where nothing is between two whole numbers. */
const wholes = [1, 2, 5].flatMap((digit) => Array.from({ length: 10 }, (_, i) => digit * 10 ** i)).sort((a, b) => a - b)

const cores = (value: number | undefined): string => (value === undefined ? '–' : value.toFixed(2))

export const chartDescriptions: readonly ChartDescription[] = [
  {
    title: 'Operations /s',
    hint: 'Operations of clients, where they are coordinated',
    series: [
      { name: 'get', metric: 'get', colour: 0 },
      { name: 'put', metric: 'put', colour: 1 },
      { name: 'delete', metric: 'delete', colour: 2 },
      { name: 'scan', metric: 'scan', colour: 3 },
    ],
    text: rateText,
    logarithmic: false,
  },
  {
    title: 'Errors /s',
    hint: 'Operations of clients that failed, and quorums that were not reached',
    series: [
      { name: 'errors', metric: 'errors', colour: 2 },
      { name: 'quorums', metric: 'quorumFailures', colour: 1 },
    ],
    text: rateText,
    logarithmic: false,
  },
  latency(
    'Reads, coordinator',
    'From the request of a client to the reply',
    percentiles('readP50', 'readP99', 'readP999'),
  ),
  latency(
    'Writes, coordinator',
    'From the request of a client to the reply',
    percentiles('writeP50', 'writeP99', 'writeP999'),
  ),
  latency(
    'Reads, replica',
    'One copy, asked by another node',
    percentiles('replicaReadP50', 'replicaReadP99', 'replicaReadP999'),
  ),
  latency(
    'Writes, replica',
    'One copy, asked by another node; its fdatasync included',
    percentiles('replicaWriteP50', 'replicaWriteP99', 'replicaWriteP999'),
  ),
  latency('fdatasync p99', 'What a sync of the log takes', [{ name: 'p99', metric: 'fdatasync', colour: 1 }]),
  latency('Event loop p99', 'How late a node comes to what is due', [{ name: 'p99', metric: 'loopDelay', colour: 1 }]),
  {
    title: 'Memory',
    hint: 'Of the processes; the heap is the part that JavaScript sees',
    series: [
      { name: 'RSS', metric: 'rss', colour: 0 },
      { name: 'heap', metric: 'heap', colour: 1 },
    ],
    text: bytesText,
    logarithmic: false,
    steps: Array.from({ length: 30 }, (_, i) => 2 ** (i + 10)),
  },
  {
    title: 'CPU',
    hint: 'Processors used',
    series: [{ name: 'cores', metric: 'cpu', colour: 0 }],
    text: cores,
    logarithmic: false,
  },
  {
    title: 'Hints and divergence',
    hint: 'Missed writes that wait for a member, and slots of which copies differ',
    series: [
      { name: 'hints', metric: 'hints', colour: 1 },
      { name: 'slots', metric: 'differing', colour: 2 },
    ],
    text: countText,
    logarithmic: false,
    steps: wholes,
  },
  {
    title: 'Repairs /s',
    hint: 'Records that reads and comparisons brought to copies which lacked them',
    series: [{ name: 'records', metric: 'repairs', colour: 0 }],
    text: rateText,
    logarithmic: false,
  },
]
