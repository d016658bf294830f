import { setTimeout as delay } from 'node:timers/promises'
import {
  BenchSession,
  type Environment,
  fileSystemOf,
  type LoadClock,
  type PhaseReport,
  parseWorkload,
  readEnvironment,
  systemClock,
  UsageError,
  type Workload,
} from '@quorumkv/cli/bench'
import { startCluster } from '../cluster.js'
import type { Expectation } from '../expectation.js'
import { kvTargetOf, loadAll } from '../local-kv.js'
import { sampledWhile } from '../sampler.js'
import type { ServerGroup } from '../server-group.js'
import { ErrorClock } from './error-clock.js'
import { FloodProcess } from './flood-process.js'
import { type FloodedPhase, judgeOverload, type OverloadFacts } from './judge.js'

/** What `overload` was asked to do. */
export interface OverloadSettings {
  readonly workload: string
  /** How many times as much as the cluster can do is asked of it. */
  readonly factor: number
  /** Of the overload. */
  readonly seconds: number
  /** Of the measurements before and after it. */
  readonly baseSeconds: number
  /** Of the flood. */
  readonly clients: number
  /** That each of these accepts at a time: the rest is refused as overloaded. */
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

/** Of the peak: what those that are measured ask for, throughout; and what all ask for together when the overload is over. */
const measuredShare = 0.1
const afterShare = 0.5
const deadlineMs = 2000
/** At a time, while the peak is looked for: what benchmarks of this store have in flight where they ask how much it can do. */
const peakInFlight = 256
const valueBytes = 100
/** Of those that are measured, at a time: more than they need, so that it is the nodes that decide. */
const lanes = 1024
/** Of memory and files. */
const sampleMs = 1000

/**
 * Starts what is due once a millisecond, and sleeps between. The load generator's own clock watches the last two
 * milliseconds, and so would keep one of the cores that the nodes need to itself; latencies from the actual start do not
 * depend on it.
 */
const sleepingClock: LoadClock = {
  ...systemClock,
  pause: (ms, signal) => delay(Math.max(1, ms), undefined, { signal }).catch(() => undefined),
}

/** Shares of reads and updates. Throws where there are others. */
function readShareOf(workload: Workload): number {
  const { read = 0, update = 0 } = workload.mix
  if (read + update > 0.999) return read
  throw new UsageError('workload', `${workload.name} does more than to read and update, which is all that a flood does`)
}

async function measureAll(
  settings: OverloadSettings,
  group: ServerGroup,
  signal: AbortSignal,
  progress: (text: string) => void,
): Promise<OverloadFacts> {
  const { clients, keys, seed, factor, maxInFlight, seconds, baseSeconds } = settings
  const workload = parseWorkload(settings.workload, 'workload')
  const target = new ErrorClock(kvTargetOf(group, { consistency: 'quorum', timeoutMs: deadlineMs }, {}))
  const data = { keys, valueBytes, seed, verify: true, clients: 1 }
  const hooks = { signal, clock: sleepingClock }
  const floodOptions = { keys, valueBytes, readShare: readShareOf(workload), seed: `${seed}/flood` }
  const whom = { endpoints: group.endpoints, clients, maxInFlight, timeoutMs: deadlineMs }
  const inFlight = Math.min(maxInFlight, Math.ceil(peakInFlight / clients))
  progress('loading …')
  await using session = await BenchSession.open(target, data, hooks)
  await loadAll(session, keys, signal)
  await using flood = await FloodProcess.start({ ...floodOptions, ...whom }, signal)
  const measured = async (ratePerSecond: number, forSeconds: number): Promise<PhaseReport> => {
    const loop = { kind: 'open', ratePerSecond, arrivals: 'poisson' } as const
    const report = await session.measure({
      ...{ workload, loop, inFlight: lanes, warmUpMs: 0, durationMs: forSeconds * 1000 },
      errorsMax: Number.POSITIVE_INFINITY,
    })
    signal.throwIfAborted()
    if (report.operations === 0)
      throw new Error(`nothing was done: ${report.errors.examples[0] ?? 'no operation ended'}`)
    return report
  }
  const flooded = async (rate: number, measuredRate: number, forSeconds: number): Promise<FloodedPhase> => {
    const [ofFlood, ofMeasured] = await Promise.all([
      flood.run({ ratePerSecond: rate - measuredRate, seconds: forSeconds }),
      measured(measuredRate, forSeconds),
    ])
    return { flood: ofFlood, measured: ofMeasured }
  }
  progress('warming up …')
  await flood.run({ inFlight, seconds: baseSeconds })
  progress(`peak: ${inFlight * clients} at a time …`)
  const peak = await flood.run({ inFlight, seconds: baseSeconds })
  const peakRate = peak.done / peak.seconds
  const measuredRate = peakRate * measuredShare
  progress('unloaded: those that are measured, alone …')
  await measured(measuredRate, baseSeconds / 2)
  const unloaded = await measured(measuredRate, baseSeconds)
  target.takeSlowestMs()
  progress(`overload, ${factor} times the peak …`)
  const { result: overload, samples } = await sampledWhile(group, sampleMs, () =>
    flooded(peakRate * factor, measuredRate, seconds),
  )
  const slowestErrorMs = Math.max(target.takeSlowestMs(), overload.flood.slowestErrorMs)
  progress('after it …')
  const after = await flooded(peakRate * afterShare, measuredRate, baseSeconds)
  return { peak, unloaded, overload, after, overloadSeconds: seconds, samples, slowestErrorMs, deadlineMs }
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
