import {
  BenchSession,
  type DataSettings,
  type Environment,
  fileSystemOf,
  type Loop,
  type PhaseReport,
  parseWorkload,
  readEnvironment,
} from '@quorumkv/cli/bench'
import { startCluster } from '../cluster.js'
import type { Expectation } from '../expectation.js'
import { limits } from '../limits.js'
import { kvTargetOf, loadAll } from '../local-kv.js'
import { sampledWhile } from '../sampler.js'
import type { ServerGroup } from '../server-group.js'
import { ErrorClock } from './error-clock.js'
import { judgeOverload, type OverloadFacts } from './judge.js'

/** What `overload` was asked to do. */
export interface OverloadSettings {
  readonly workload: string
  /** How many times as much as the cluster can do is asked of it. */
  readonly factor: number
  /** Of the overload. */
  readonly seconds: number
  /** Of the measurements before and after it. */
  readonly baseSeconds: number
  readonly clients: number
  /** That each client accepts at a time: the rest is refused as overloaded. */
  readonly maxInFlight: number
  readonly keys: number
  readonly seed: string
  /** Where the nodes' data directories are made. */
  readonly dataDir: string
  readonly json: boolean
}

/** What was measured, and on what. */
export interface OverloadReport {
  readonly benchmark: 'overload'
  readonly startedAt: string
  readonly environment: Environment
  readonly fileSystem: string
  readonly settings: OverloadSettings
  readonly facts: OverloadFacts
  readonly expectations: readonly Expectation[]
  /** Every expectation was met. */
  readonly ok: boolean
}

/** Of the peak: what a cluster has to spare while it is measured without a load, and after one. */
const unloadedShare = 0.1
const afterShare = 0.5
const deadlineMs = 2000
const valueBytes = 100
/** Of memory and files. */
const sampleMs = 1000

/** By clients that refuse nothing: those that are measured accept less than a load has in flight. */
async function load(group: ServerGroup, data: DataSettings, signal: AbortSignal): Promise<void> {
  await using session = await BenchSession.open(kvTargetOf(group, { consistency: 'quorum' }, {}), data, { signal })
  await loadAll(session, data.keys, signal)
}

async function measureAll(
  settings: OverloadSettings,
  group: ServerGroup,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<OverloadFacts> {
  const { clients, keys, seed, factor, maxInFlight } = settings
  const data = { keys, valueBytes, seed, verify: true, clients }
  await load(group, data, signal)
  const target = new ErrorClock(kvTargetOf(group, { consistency: 'quorum', timeoutMs: deadlineMs, maxInFlight }, {}))
  await using session = await BenchSession.open(target, data, { signal })
  const measure = async (what: string, loop: Loop, inFlight: number, seconds: number): Promise<PhaseReport> => {
    progress(`${what} …`)
    const report = await session.measure({
      workload: parseWorkload(settings.workload, 'workload'),
      ...{ loop, inFlight, warmUpMs: 0, durationMs: seconds * 1000, errorsMax: Number.POSITIVE_INFINITY },
    })
    signal.throwIfAborted()
    if (report.operations === 0) throw new Error(`${what}: ${report.errors.examples[0] ?? 'no operation ended'}`)
    return report
  }
  const open = (ratePerSecond: number): Loop => ({ kind: 'open', ratePerSecond, arrivals: 'poisson' })
  // As many are refused in a turn of the event loop as a client accepts: many more, and the one process of all clients does
  // little else than refuse. What has no lane waits in the generator, and is not asked.
  const lanes = Math.min(2 * maxInFlight, Math.floor(limits.inFlightMax / clients))
  await measure('warming up', { kind: 'closed' }, maxInFlight, settings.baseSeconds)
  const peak = await measure('peak, in a closed loop', { kind: 'closed' }, maxInFlight, settings.baseSeconds)
  const rate = peak.opsPerSecond
  const unloaded = await measure('unloaded', open(rate * unloadedShare), lanes, settings.baseSeconds)
  target.takeSlowestMs()
  const { result: overload, samples } = await sampledWhile(group, sampleMs, () =>
    measure(`overload, ${factor} times the peak`, open(rate * factor), lanes, settings.seconds),
  )
  const slowestErrorMs = target.takeSlowestMs()
  const after = await measure('after it', open(rate * afterShare), lanes, settings.baseSeconds)
  return { peak, unloaded, overload, after, overloadSeconds: settings.seconds, samples, slowestErrorMs, deadlineMs }
}

/**
 * Asks a cluster of three nodes, which it starts and stops, for more than it can do. Rejects when the cluster cannot be
 * started or ends, or with the reason of `signal`.
 */
export async function runOverload(
  settings: OverloadSettings,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<OverloadReport> {
  const startedAt = new Date().toISOString()
  const environment = await readEnvironment()
  const { dataDir: parentDirectory } = settings
  await using group = await startCluster({ nodes: 3, fsync: 'always', parentDirectory, signal })
  const facts = await measureAll(settings, group, signal, progress)
  const expectations = judgeOverload(facts)
  return {
    ...{ benchmark: 'overload', startedAt, environment, fileSystem: await fileSystemOf(parentDirectory) },
    ...{ settings, facts, expectations, ok: expectations.every(({ met }) => met) },
  }
}
