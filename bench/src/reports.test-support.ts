import type { KindSummaries, KindSummary, OperationKind, PhaseReport } from '@quorumkv/cli/bench'
import { build, encodeIntoCompressedBase64 } from 'hdr-histogram-js'

export interface PhaseSketch {
  readonly operations: number
  readonly seconds?: number
  /** Operations of each kind, and the microseconds that their median and mean are; p95 is twice, p99 three times, p99.9 four times that; in `hdr` all took as long. */
  readonly kinds: Readonly<Partial<Record<OperationKind, { readonly operations: number; readonly us: number }>>>
  readonly errors?: number
  /** Of the client, and of each of two servers. */
  readonly cpuSeconds?: number
}

function summary(operations: number, us: number): KindSummary {
  const histogram = build({ numberOfSignificantValueDigits: 3 })
  histogram.recordValueWithCount(us, operations)
  const hdr = encodeIntoCompressedBase64(histogram)
  const shares = { operations, opsPerSecond: operations, minUs: 1, meanUs: us, maxUs: us * 4, curve: [], hdr }
  return { ...shares, p50Us: us, p95Us: us * 2, p99Us: us * 3, p999Us: us * 4 }
}

/** What the load generator tells of a phase; the rest follows from the sketch. */
export function phaseReport({ operations, seconds = 1, kinds, errors = 0, cpuSeconds = 0 }: PhaseSketch): PhaseReport {
  const process = (id: string) => ({ id, cpuSeconds, residentBytes: 1 })
  const latency = Object.fromEntries(
    Object.entries(kinds).map(([kind, { operations, us }]) => [kind, summary(operations, us)]),
  )
  return {
    ...{ name: 'mixed', mix: { read: 0.5, update: 0.5 }, distribution: 'uniform', loop: { kind: 'closed' } },
    ...{ clients: 1, inFlight: 64, warmUpSeconds: 0, seconds, operations, opsPerSecond: operations / seconds },
    latency: latency as KindSummaries,
    errors: { count: errors, byCode: errors > 0 ? { unavailable: errors } : {}, examples: [] },
    staleReads: 0,
    intervals: [],
    usage: { client: process('client'), servers: [process('a'), process('b')] },
  }
}
