import { open, writeFile } from 'node:fs/promises'
import {
  type BenchPlan,
  type BenchReport,
  formatCsv,
  formatHtml,
  type Loop,
  type PhaseSettings,
  parseWorkload,
  runBench,
  workloads,
} from '@quorumkv/cli/bench'
import { startLocalKv } from './local-kv.js'
import type { ClusterSettings } from './options.js'

/** Says what happens, for people who wait. */
export type Progress = (text: string) => void

/**
 * The standard set: one operation at a time, which is what a single user waits; every workload that has a name with many
 * in flight; a mix on few hot keys; and an open loop at a fixed rate, the same from one commit to the next, for latencies
 * that nothing but the store decides.
 */
function standardPhases({
  inFlight,
  openRate,
}: ClusterSettings): Pick<PhaseSettings, 'workload' | 'distribution' | 'inFlight' | 'loop'>[] {
  const closed: Loop = { kind: 'closed' }
  const open: Loop = { kind: 'open', ratePerSecond: openRate, arrivals: 'poisson' }
  const named = (name: string) => parseWorkload(name, '--workload')
  return [
    { workload: named('write-only'), inFlight: 1, loop: closed },
    { workload: named('read-only'), inFlight: 1, loop: closed },
    ...workloads.map((workload) => ({ workload, inFlight, loop: closed })),
    { workload: named('mixed'), distribution: 'hot-cold', inFlight, loop: closed },
    { workload: named('mixed'), inFlight, loop: open },
  ]
}

function planOf(settings: ClusterSettings): BenchPlan {
  const { keys, valueBytes, seed, workload, inFlight, seconds, warmUpSeconds, runs } = settings
  const times = { warmUpMs: warmUpSeconds * 1000, durationMs: seconds * 1000 }
  const chosen = workload?.map((one) => ({ workload: one, inFlight, loop: { kind: 'closed' } as const }))
  return {
    data: { keys, valueBytes, verify: true, seed, clients: 1 },
    load: true,
    phases: (chosen ?? standardPhases(settings)).map((phase) => ({ ...phase, ...times })),
    runs,
  }
}

/** Rejects where a file that was asked for cannot be written: that should not be found out when all has been measured. */
async function checkFiles({ csv, html }: ClusterSettings): Promise<void> {
  for (const path of [csv, html]) if (path !== undefined) await (await open(path, 'a')).close()
}

/** Writes the files that were asked for. */
export async function writeFiles(report: BenchReport, { csv, html }: ClusterSettings): Promise<void> {
  if (csv !== undefined) await writeFile(csv, formatCsv(report))
  if (html !== undefined) await writeFile(html, formatHtml(report))
}

/**
 * Measures a cluster of processes on this machine with the load generator of `kv bench`. Rejects when a file that was
 * asked for cannot be written, when the cluster cannot be started, when one of its nodes ends, or, before anything was measured,
 * with the reason of `signal`; after that, the report says that it was interrupted. Operations that failed are in the
 * report.
 */
export async function runClusterBenchmark(
  settings: ClusterSettings,
  signal: AbortSignal,
  progress: Progress,
): Promise<BenchReport> {
  await checkFiles(settings)
  const { nodes, fsync, dataDir: parentDirectory } = settings
  progress(`starting ${nodes} nodes …`)
  const cluster = { nodes, fsync, parentDirectory, signal, room: settings }
  const { group, target } = await startLocalKv({ ...cluster, consistency: 'quorum' })
  await using _ = group
  return await runBench(target, planOf(settings), {
    signal,
    onPhase: ({ name }) => {
      progress(`${name} …`)
      return () => undefined
    },
  })
}
