import type { MetricDefinition, Sample, Scrape } from './metrics.js'
import type { ProcessReading } from './process-meter.js'

function ofProcess(read: (reading: ProcessReading) => number): (scrape: Scrape) => readonly Sample<number>[] {
  return ({ reading }) => [[read(reading)]]
}

/** The process, under the names that every client library of Prometheus gives them where there are such. */
export const processMetrics: readonly MetricDefinition[] = [
  {
    type: 'counter',
    name: 'process_cpu_seconds_total',
    help: 'Processor time that the process has used',
    read: ofProcess(({ cpuSeconds }) => cpuSeconds),
  },
  {
    type: 'gauge',
    name: 'process_resident_memory_bytes',
    help: 'Memory of the process',
    read: ofProcess(({ rssBytes }) => rssBytes),
  },
  {
    type: 'gauge',
    name: 'nodejs_heap_size_used_bytes',
    help: 'Of the JavaScript heap, in use',
    read: ofProcess(({ heapUsedBytes }) => heapUsedBytes),
  },
  {
    type: 'gauge',
    name: 'nodejs_heap_size_total_bytes',
    help: 'Of the JavaScript heap, held',
    read: ofProcess(({ heapTotalBytes }) => heapTotalBytes),
  },
  {
    type: 'gauge',
    name: 'nodejs_external_memory_bytes',
    help: 'Outside of the JavaScript heap: the table is there',
    read: ofProcess(({ externalBytes }) => externalBytes),
  },
  {
    type: 'histogram',
    name: 'kv_event_loop_delay_seconds',
    help: 'How much later than due a timer fires',
    read: ({ services }) => [[services.meter.eventLoopDelay]],
  },
  {
    type: 'counter',
    name: 'kv_gc_seconds_total',
    help: 'Spent in collecting garbage',
    read: ofProcess(({ gcMs }) => gcMs / 1_000),
  },
  {
    type: 'gauge',
    name: 'kv_tls_certificate_expiry_seconds',
    help: 'Unix time at which a certificate in use expires; of authorities the first that does',
    labels: ['kind'],
    read: ({ services }) => (services.certificates?.facts ?? []).map(({ kind, toMs }) => [toMs / 1_000, { kind }]),
  },
  {
    type: 'counter',
    name: 'kv_tls_reloads_total',
    help: 'Certificates that were read again; failed: what had changed was no good, and the old stayed in use',
    labels: ['outcome'],
    read: ({ services: { certificates } }) =>
      certificates === undefined
        ? []
        : [
            [certificates.counts.reloaded, { outcome: 'ok' }],
            [certificates.counts.failed, { outcome: 'failed' }],
          ],
  },
  {
    type: 'gauge',
    name: 'kv_tls_files_refused',
    help: '1: the files of the certificate have changed, what they hold is no good, and the old is in use',
    read: ({ services: { certificates } }) =>
      certificates === undefined ? [] : [[certificates.problem === undefined ? 0 : 1]],
  },
  {
    type: 'gauge',
    name: 'kv_client_sessions',
    help: 'Sessions of clients that are open',
    read: ({ services }) => [[services.calls().sessions]],
  },
]
