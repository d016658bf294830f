import { assert, type LatencyHistogram } from '@quorumkv/internal/base'
import type { Node, NodeStatus } from '@quorumkv/internal/cluster'
import { Counter, Gauge, type Histogram, Registry } from 'prom-client'
import type { ServiceContext } from '../calls/service-context.js'
import { clusterMetrics } from './cluster-metrics.js'
import { doorMetrics } from './door-metrics.js'
import { operationMetrics } from './operation-metrics.js'
import type { ProcessReading } from './process-meter.js'
import { processMetrics } from './process-metrics.js'
import { storageMetrics } from './storage-metrics.js'

/** What is true at the moment of one scrape: looked at once for all metrics. */
export interface Scrape {
  readonly services: ServiceContext
  /** Undefined while the store of the node is being opened. */
  readonly node: Node | undefined
  readonly status: NodeStatus | undefined
  readonly reading: ProcessReading
  /** Monotonic. */
  readonly nowMs: number
}

export type Labels = Readonly<Record<string, string>>

/** One value of a metric, with its labels. */
export type Sample<Value> = readonly [value: Value, labels?: Labels]

interface MetricNames {
  readonly name: string
  readonly help: string
  /** Their values are few and known: kinds, roles, codes, channels, and members of the cluster. Never keys. */
  readonly labels?: readonly string[]
}

/** A metric whose values are read when somebody asks. Durations are seconds, sizes bytes. */
export type MetricDefinition =
  | (MetricNames & { readonly type: 'counter' | 'gauge'; readonly read: (scrape: Scrape) => readonly Sample<number>[] })
  | (MetricNames & {
      readonly type: 'histogram'
      readonly read: (scrape: Scrape) => readonly Sample<LatencyHistogram>[]
    })

/** Upper bounds in seconds: from a read that is served from memory to the longest deadline. */
const bounds = [
  0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const
const boundsUs: readonly number[] = bounds.map((seconds) => Math.round(seconds * 1e6))

/** All of them, in the order in which they are shown. */
export const metricDefinitions: readonly MetricDefinition[] = [
  ...operationMetrics,
  ...storageMetrics,
  ...clusterMetrics,
  ...doorMetrics,
  ...processMetrics,
]

type HistogramValues = Awaited<ReturnType<Histogram<string>['get']>>
type HistogramDefinition = Extract<MetricDefinition, { readonly type: 'histogram' }>

/** A histogram that is kept elsewhere, with its totals as Prometheus wants them. */
function histogramValues(
  { name }: MetricNames,
  samples: readonly Sample<LatencyHistogram>[],
): HistogramValues['values'] {
  return samples.flatMap(([histogram, labels = {}]) => {
    const { count, sumSeconds, upTo } = histogram.totals(boundsUs)
    const inBuckets = bounds.map((le, i) => {
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: upTo[i]! }
    })
    return [
      ...inBuckets,
      { metricName: `${name}_bucket`, labels: { le: '+Inf', ...labels }, value: count },
      { metricName: `${name}_sum`, labels, value: sumSeconds },
      { metricName: `${name}_count`, labels, value: count },
    ]
  })
}

/**
 * Adds a histogram that counts nothing by itself. A registry calls `get` of whatever it holds; only its type names the four
 * classes of prom-client, of which Histogram wants to count.
 */
function registerHistogram(registry: Registry, definition: HistogramDefinition, current: () => Scrape): void {
  const { name, help } = definition
  const kept = {
    name,
    get: async () => ({
      name,
      help,
      type: 'histogram',
      values: histogramValues(definition, definition.read(current())),
    }),
  }
  registry.registerMetric(kept as unknown as Histogram<string>)
}

/** Takes all values out of a metric: `reset` would leave a zero in one that has no labels. */
function empty(metric: Counter | Gauge, labels: readonly string[]): void {
  if (labels.length === 0) metric.remove()
  else metric.reset()
}

/** The metrics of one node, in the text format of Prometheus. */
export class Metrics {
  readonly #services: ServiceContext
  readonly #registry = new Registry()
  #scrape: Scrape | undefined

  constructor(services: ServiceContext) {
    this.#services = services
    for (const definition of metricDefinitions) this.#register(definition)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** As they are now. */
  text(): Promise<string> {
    const { meter, clock } = this.#services
    const node = this.#services.node()
    const nowMs = clock.monotonicMs()
    this.#scrape = { services: this.#services, node, status: node?.status(), reading: meter.read(), nowMs }
    return this.#registry.metrics()
  }

  #register(definition: MetricDefinition): void {
    const { name, help, labels = [] } = definition
    const registry = this.#registry
    const current = (): Scrape => this.#current
    if (definition.type === 'histogram') {
      registerHistogram(registry, definition, current)
      return
    }
    const { read } = definition
    const options = { name, help, labelNames: [...labels], registers: [registry] }
    if (definition.type === 'counter') {
      new Counter({
        ...options,
        collect() {
          empty(this, labels)
          for (const [value, given = {}] of read(current())) this.inc(given, value)
        },
      })
    } else {
      new Gauge({
        ...options,
        collect() {
          empty(this, labels)
          for (const [value, given = {}] of read(current())) this.set(given, value)
        },
      })
    }
  }

  get #current(): Scrape {
    assert(this.#scrape !== undefined, 'metrics are read by a scrape')
    return this.#scrape
  }
}
