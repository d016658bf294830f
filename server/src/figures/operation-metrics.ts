import {
  type OperationInstrument,
  type OperationKind,
  type OperationRole,
  operationKinds,
  type QuorumLevel,
} from '@quorumkv/internal/base'
import type { Labels, MetricDefinition, Sample, Scrape } from './metrics.js'

/** A sample for each kind and role, of what `read` makes of it. */
function byKind<Value>(
  { node }: Scrape,
  read: (instrument: OperationInstrument, labels: Labels) => readonly Sample<Value>[],
): Sample<Value>[] {
  if (node === undefined) return []
  const { coordinated, served } = node.instruments
  const of = (role: OperationRole, kind: OperationKind): readonly Sample<Value>[] =>
    read((role === 'coordinator' ? coordinated : served)[kind], { kind, role })
  return operationKinds.flatMap((kind) => [...of('coordinator', kind), ...of('replica', kind)])
}

const levels: readonly QuorumLevel[] = ['one', 'quorum', 'all']

/** What is done for clients and for other nodes. */
export const operationMetrics: readonly MetricDefinition[] = [
  {
    type: 'counter',
    name: 'kv_operations_total',
    help: 'Operations that ended, failed ones included; as coordinator for clients, as replica for other nodes',
    labels: ['kind', 'role'],
    read: (scrape) => byKind(scrape, ({ count }, labels) => [[count, labels]]),
  },
  {
    type: 'counter',
    name: 'kv_operation_errors_total',
    help: 'Operations that failed, by the code that the caller was told',
    labels: ['kind', 'role', 'code'],
    read: (scrape) =>
      byKind(scrape, ({ errorsByCode }, labels) => {
        return [...errorsByCode].map(([code, count]): Sample<number> => [count, { ...labels, code }])
      }),
  },
  {
    type: 'histogram',
    name: 'kv_operation_duration_seconds',
    help: 'How long operations took that did not fail',
    labels: ['kind', 'role'],
    read: (scrape) => byKind(scrape, ({ latency }, labels) => [[latency, labels]]),
  },
  {
    type: 'counter',
    name: 'kv_quorum_failures_total',
    help: 'Operations for which too few owners answered in time, or could have, by kind and level',
    labels: ['kind', 'level'],
    read: ({ node }) => {
      if (node === undefined) return []
      const { quorumFailures } = node.instruments
      return operationKinds.flatMap((kind) =>
        levels.map((level): Sample<number> => [quorumFailures[kind][level], { kind, level }]),
      )
    },
  },
  {
    type: 'counter',
    name: 'kv_read_repairs_total',
    help: 'Records that reads have sent to owners which lacked them',
    read: ({ node }) => (node === undefined ? [] : [[node.instruments.readRepairs]]),
  },
]
