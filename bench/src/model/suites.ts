import type { DistributionName } from '@quorumkv/cli/bench'
import type { Consistency } from '@quorumkv/client'

/**
 * A measurement that the authors of another quorum-replicated store, written in Go, have published for it. They ran it on
 * a machine of theirs, with replicas in memory and no flush to disk; the figures are for scale, and no contest.
 */
export interface ModelSuite {
  readonly name: string
  /** As those of kv bench. */
  readonly workload: 'read-heavy' | 'write-heavy' | 'mixed' | 'write-only'
  readonly distribution: DistributionName
  /** Each with one operation at a time. */
  readonly clients: number
  readonly valueBytes: number
  /** Of writes and reads. */
  readonly consistency: Consistency
  /** What was published: operations a second, or the milliseconds that an operation takes. Undefined: nothing. */
  readonly published: { readonly unit: 'ops/s' | 'ms'; readonly min: number; readonly max: number } | undefined
}

/** Keys of every suite. */
export const modelKeys = 100

const rate = (value: number): ModelSuite['published'] => ({ unit: 'ops/s', min: value, max: value })
const latency = (min: number, max: number = min): ModelSuite['published'] => ({ unit: 'ms', min, max })

type Mix = 'read-heavy' | 'write-heavy' | 'mixed'

function mixes(
  name: string,
  distribution: DistributionName,
  clients: number,
  published: Readonly<Record<Mix, number>>,
): ModelSuite[] {
  return (['read-heavy', 'write-heavy', 'mixed'] as const).map((workload) => ({
    ...{ name: `${name}, ${workload}`, workload, distribution, clients, valueBytes: 100, consistency: 'quorum' },
    published: rate(published[workload]),
  }))
}

/**
 * How long replication takes is told twice: as what a writer waits for at the default level, two of three replicas, which
 * is what was published; and until all three have it, after which a read of any one of them shows it.
 */
function replication(
  keys: string,
  distribution: DistributionName,
  consistency: Consistency,
  published?: ModelSuite['published'],
): ModelSuite {
  const until = consistency === 'all' ? 'all replicas' : 'a quorum'
  return {
    ...{ name: `replicated to ${until}, ${keys} keys`, workload: 'write-only', distribution, clients: 1 },
    ...{ valueBytes: 100, consistency, published },
  }
}

function large(size: string, valueBytes: number, published?: ModelSuite['published']): ModelSuite {
  return {
    ...{ name: `values of ${size}`, workload: 'write-only', distribution: 'uniform', clients: 1 },
    ...{ valueBytes, consistency: 'quorum', published },
  }
}

/** All of them, in the order of the report. */
export const modelSuites: readonly ModelSuite[] = [
  ...mixes('uniform', 'uniform', 1, { 'read-heavy': 6868, 'write-heavy': 11_107, mixed: 4005 }),
  ...mixes('hot-cold', 'hot-cold', 1, { 'read-heavy': 5548, 'write-heavy': 11_154, mixed: 3872 }),
  ...mixes('ten clients', 'uniform', 10, { 'read-heavy': 15_615, 'write-heavy': 30_777, mixed: 27_921 }),
  replication('sequential', 'sequential', 'quorum', latency(0.19, 0.2)),
  replication('random', 'uniform', 'quorum', latency(0.19, 0.2)),
  replication('sequential', 'sequential', 'all'),
  replication('random', 'uniform', 'all'),
  large('1 KiB', 1024, latency(0.1)),
  large('10 KiB', 10_240, latency(0.17)),
  large('100 KiB', 102_400),
  large('1 MiB', 1_048_576),
]
