import {
  fileSystemOf,
  localUsage,
  ownUsage,
  type Process,
  readEnvironment,
  type Usage,
  usageBetween,
} from '@quorumkv/cli/bench'
import { type ClusterStatus, type ClusterTopology, KvClient } from '@quorumkv/client'
import { startCluster } from './cluster.js'
import { limits } from './limits.js'
import type { ClusterSettings } from './options.js'
import { type ClusterReport, type PhaseReport, reportPhase } from './report.js'
import { ErrorTally, type RunResult, run, type Target } from './runner.js'
import { keyName, Values } from './values.js'
import { formatMix, loadSource, type Mix, type Source, uniformSource } from './workload.js'

/** Says what happens, for people who wait. */
export type Progress = (text: string) => void

interface Load {
  readonly name: string
  readonly inFlight: number
  readonly source: Source
  readonly warmUpMs: number
  readonly durationMs: number
}

/** Room for what is in flight with everything that the client counts for it, or the client's own default. */
function clientBytesMax({ inFlight, valueBytes }: ClusterSettings): number {
  const perOperationBytes = valueBytes + 1024
  return Math.max(64 * 2 ** 20, 2 * Math.max(inFlight, limits.loadInFlight) * perOperationBytes)
}

function verifyingTarget(client: KvClient, values: Values): Target {
  return async ({ kind, key }) => {
    const name = keyName(key)
    if (kind === 'put') await client.put(name, values.make(name), { consistency: 'quorum' })
    else values.check(name, await client.getBytes(name, { consistency: 'quorum' }))
  }
}

function loadsOf(settings: ClusterSettings): Load[] {
  const { keys, seed, mix, inFlight } = settings
  const warmUpMs = settings.warmUpSeconds * 1000
  const uniform = (name: string, mixed: Mix, inFlight: number, seconds: number): Load => ({
    name,
    inFlight,
    source: uniformSource(keys, mixed, `${seed}/${name}`),
    warmUpMs,
    durationMs: seconds * 1000,
  })
  const load: Load = {
    name: 'load',
    inFlight: limits.loadInFlight,
    source: loadSource(keys),
    warmUpMs: 0,
    durationMs: limits.loadMs,
  }
  const oneAtATime = [
    uniform('put, one at a time', { getPercent: 0, putPercent: 100 }, 1, settings.oneAtATimeSeconds),
    uniform('get, one at a time', { getPercent: 100, putPercent: 0 }, 1, settings.oneAtATimeSeconds),
  ]
  return [
    load,
    ...(settings.oneAtATimeSeconds > 0 ? oneAtATime : []),
    ...mix.map((mixed) => uniform(`mixed ${formatMix(mixed)}`, mixed, inFlight, settings.seconds)),
  ]
}

async function readUsage(servers: readonly Process[]): Promise<Usage> {
  return { client: ownUsage(), servers: await localUsage(servers) }
}

async function measure(
  load: Load,
  target: Target,
  servers: readonly Process[],
  signal: AbortSignal,
): Promise<PhaseReport> {
  const { name, inFlight, source, warmUpMs, durationMs } = load
  const errors = new ErrorTally()
  if (warmUpMs > 0) await run(source, target, { inFlight, durationMs: warmUpMs, signal, errors })
  signal.throwIfAborted()
  const before = await readUsage(servers)
  const result: RunResult = await run(source, target, { inFlight, durationMs, signal, errors })
  signal.throwIfAborted()
  const usage = usageBetween(before, await readUsage(servers))
  return reportPhase({ name, inFlight, ...result, errors, usage })
}

function describeCluster(
  settings: ClusterSettings,
  topology: ClusterTopology,
  status: ClusterStatus,
  fileSystem: string | undefined,
): ClusterReport['cluster'] {
  const { replicationFactor, readQuorum, writeQuorum } = topology.replication
  return {
    nodes: topology.members.length,
    serverVersion: status.serverVersion,
    ...(fileSystem !== undefined && { fsync: settings.fsync, fileSystem }),
    replicationFactor,
    readQuorum,
    writeQuorum,
  }
}

/** Loads the keys and measures one kind of load after the other, up to the first that fails too often to go on. */
async function measureAll(
  settings: ClusterSettings,
  client: KvClient,
  servers: readonly Process[],
  signal: AbortSignal,
  progress: Progress,
): Promise<PhaseReport[]> {
  const values = new Values(settings.valueBytes, settings.seed)
  const target = verifyingTarget(client, values)
  const phases: PhaseReport[] = []
  for (const load of loadsOf(settings)) {
    progress(`${load.name} …`)
    const phase = await measure(load, target, servers, signal)
    phases.push(phase)
    // Keys that are not there would be read as errors of the phases that follow.
    if (load.name === 'load' && phase.operations < settings.keys) {
      if (phase.errors.count > 0) break
      throw new Error(`only ${phase.operations} of ${settings.keys} keys were loaded within ${limits.loadMs / 1000} s`)
    }
    if (phase.errors.count >= limits.errorsMax) break
  }
  return phases
}

/**
 * Measures a cluster as one client process sees it: puts and gets one at a time, then mixes of them with many in flight.
 * Rejects when the cluster cannot be started or reached, when one of its nodes ends, or with the reason of `signal`.
 * Operations that failed are in the report.
 */
export async function runClusterBenchmark(
  settings: ClusterSettings,
  signal: AbortSignal,
  progress: Progress,
): Promise<ClusterReport> {
  const startedAt = new Date().toISOString()
  const environment = await readEnvironment()
  const { endpoints, nodes, fsync, dataDir: parentDirectory } = settings
  if (endpoints === undefined) progress(`starting ${nodes} nodes …`)
  await using cluster =
    endpoints === undefined ? await startCluster({ nodes, fsync, parentDirectory, signal }) : undefined
  const fileSystem = cluster && (await fileSystemOf(parentDirectory))
  const ended = cluster === undefined ? signal : AbortSignal.any([signal, cluster.failed])
  await using client = new KvClient({
    endpoints: cluster?.endpoints ?? endpoints ?? [],
    maxInFlightBytes: clientBytesMax(settings),
  })
  await client.ready({ signal: ended, timeoutMs: limits.nodeReadyMs })
  const topology = await client.topology({ signal: ended })
  const status = await client.status(undefined, { signal: ended })
  const phases = await measureAll(settings, client, cluster?.processes ?? [], ended, progress)
  return {
    benchmark: 'cluster',
    startedAt,
    environment,
    cluster: describeCluster(settings, topology, status, fileSystem),
    workload: {
      keys: settings.keys,
      keyBytes: keyName(0).length,
      valueBytes: settings.valueBytes,
      distribution: 'uniform',
      consistency: 'quorum',
      seed: settings.seed,
      warmUpSeconds: settings.warmUpSeconds,
    },
    phases,
    ok: phases.every(({ errors }) => errors.count === 0),
  }
}
