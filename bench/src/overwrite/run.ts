import { BenchSession, type Environment, fileSystemOf, type PhaseReport, readEnvironment } from '@quorumkv/cli/bench'
import { startCluster } from '../cluster.js'
import type { Expectation } from '../expectation.js'
import { kvTargetOf, loadAll, measureClosed } from '../local-kv.js'
import { lateGrowth, type Sample, sampledWhile } from '../sampler.js'
import type { ServerGroup } from '../server-group.js'
import { formatFigure } from '../store-format.js'

/** What `overwrite` was asked to do. */
export interface OverwriteSettings {
  readonly seconds: number
  readonly keys: number
  readonly valueBytes: number
  readonly inFlight: number
  /** Of the nodes' logs, after which they take a snapshot, in bytes. */
  readonly snapshotLogBytes: number
  readonly seed: string
  /** Where the nodes' data directories are made. */
  readonly dataDir: string
  readonly json: boolean
}

/** What was measured, and on what. */
export interface OverwriteReport {
  readonly benchmark: 'overwrite'
  readonly startedAt: string
  readonly environment: Environment
  readonly fileSystem: string
  readonly settings: OverwriteSettings
  readonly phase: PhaseReport
  readonly samples: readonly Sample[]
  readonly expectations: readonly Expectation[]
  /** Every expectation was met. */
  readonly ok: boolean
}

const growthMax = 1.1
/** So many samples of a run, whatever its length. */
const samplesAimedAt = 300

/** Holds a run that wrote the same keys over and over against what it was to keep. */
export function judgeOverwrite(phase: PhaseReport, samples: readonly Sample[]): Expectation[] {
  const levelsOff = (what: string, values: readonly number[]): Expectation => {
    const growth = lateGrowth(values)
    return {
      what: `${what}: the most of the last third of the time over that of the third before`,
      found: formatFigure(growth),
      bound: `at most ${growthMax}`,
      met: growth <= growthMax,
    }
  }
  const { count } = phase.errors
  return [
    { what: 'errors, wrong answers among them', found: formatFigure(count), bound: 'none', met: count === 0 },
    levelsOff(
      'memory of the nodes',
      samples.map(({ residentBytes }) => residentBytes),
    ),
    levelsOff(
      'files of the nodes',
      samples.map(({ fileBytes }) => fileBytes),
    ),
  ]
}

async function overwrite(
  settings: OverwriteSettings,
  group: ServerGroup,
  signal: AbortSignal,
): Promise<{ readonly result: PhaseReport; readonly samples: readonly Sample[] }> {
  const { keys, valueBytes, inFlight, seconds, seed } = settings
  const target = kvTargetOf(group, { consistency: 'quorum', room: settings }, {})
  await using session = await BenchSession.open(
    target,
    { keys, valueBytes, seed, verify: true, clients: 1 },
    { signal },
  )
  await loadAll(session, keys, signal)
  const everyMs = Math.max(200, (seconds * 1000) / samplesAimedAt)
  // Mostly writes, and reads enough to find what has gone wrong.
  const loop = { workload: 'write-heavy', inFlight, warmUpSeconds: 0, seconds }
  return await sampledWhile(group, everyMs, () => measureClosed(session, loop, 'the run', signal))
}

/**
 * Writes the same keys over and over on a cluster of three nodes, which it starts and stops, and watches what they take.
 * Rejects when the cluster cannot be started or ends, or with the reason of `signal`.
 */
export async function runOverwrite(
  settings: OverwriteSettings,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<OverwriteReport> {
  const startedAt = new Date().toISOString()
  const environment = await readEnvironment()
  const { dataDir: parentDirectory, snapshotLogBytes, seconds } = settings
  const flags = ['--snapshot-wal-bytes', String(snapshotLogBytes)]
  await using group = await startCluster({ nodes: 3, fsync: 'always', parentDirectory, signal, flags })
  progress(`writing for ${seconds} s …`)
  const { result: phase, samples } = await overwrite(settings, group, signal)
  const expectations = judgeOverwrite(phase, samples)
  return {
    ...{ benchmark: 'overwrite', startedAt, environment, fileSystem: await fileSystemOf(parentDirectory) },
    ...{ settings, phase, samples, expectations, ok: expectations.every(({ met }) => met) },
  }
}
