import {
  BenchSession,
  fileSystemOf,
  keyBytes,
  type PhaseReport,
  readEnvironment,
  type Target,
} from '@quorumkv/cli/bench'
import { limits } from '../limits.js'
import { loadAll, measureClosed } from '../local-kv.js'
import type { ServerGroup } from '../server-group.js'
import { type Contestant, contestants } from './contestants.js'
import { type PeerName, providePrograms, versionOf } from './packages.js'
import { type PeersPhase, type PeersReport, rowOf } from './peers-report.js'
import { alternate } from './rounds.js'

/** What `peers` was asked to do. */
export interface PeersSettings {
  /** Names of contestants, the first of all of them always among them. */
  readonly contestants: readonly string[]
  readonly workloads: readonly string[]
  readonly inFlight: readonly number[]
  readonly rounds: number
  /** Of one measurement, and before it. */
  readonly seconds: number
  readonly warmUpSeconds: number
  readonly keys: number
  readonly valueBytes: number
  readonly seed: string
  /** Where the stores' data directories are made. */
  readonly dataDir: string
  /** Install Debian's packages of what is missing. */
  readonly install: boolean
  readonly json: boolean
  readonly record: boolean
}

/** A contestant that runs and has its keys. */
interface Running {
  readonly contestant: Contestant
  readonly group: ServerGroup
  readonly target: Target
  readonly session: BenchSession
}

/** Says what happens, for people who wait. */
type Progress = (text: string) => void

async function start(contestant: Contestant, settings: PeersSettings, signal: AbortSignal): Promise<Running> {
  const { keys, valueBytes, seed, dataDir, inFlight } = settings
  const room = { inFlight: Math.max(...inFlight), valueBytes }
  const { group, target } = await contestant.start(dataDir, room, signal)
  try {
    const session = await BenchSession.open(target, { keys, valueBytes, seed, verify: true, clients: 1 }, { signal })
    return { contestant, group, target, session }
  } catch (error) {
    await group.stop()
    throw error
  }
}

async function describe(
  { contestant, target }: Running,
  versions: ReadonlyMap<PeerName, string>,
  signal: AbortSignal,
): Promise<PeersReport['contestants'][number]> {
  const { name, peer, durability } = contestant
  const version = peer && versions.get(peer)
  return { name, durability, settings: { ...(version && { version }), ...(await target.describe(signal)) } }
}

/** Starts them one after the other, each with its keys, into `running`, so that whoever stops them knows of each. */
async function startAll(
  chosen: readonly Contestant[],
  settings: PeersSettings,
  running: Running[],
  signal: AbortSignal,
  progress: Progress,
): Promise<void> {
  for (const contestant of chosen) {
    progress(`starting ${contestant.name} …`)
    const started = await start(contestant, settings, signal)
    running.push(started)
    await loadAll(started.session, settings.keys, signal)
  }
}

async function stopAll(running: readonly Running[]): Promise<void> {
  await Promise.all(running.map(({ session }) => session.close()))
  await Promise.all(running.map(({ group }) => group.stop()))
}

function phasesOf({ workloads, inFlight }: PeersSettings): PeersPhase[] {
  return workloads.flatMap((workload) => inFlight.map((count) => ({ workload, inFlight: count })))
}

/** By contestant, by phase, by round. */
function measureAll(
  settings: PeersSettings,
  running: readonly Running[],
  signal: AbortSignal,
  progress: Progress,
): Promise<PhaseReport[][][]> {
  const { rounds, warmUpSeconds, seconds } = settings
  return alternate(running, phasesOf(settings), rounds, async ({ contestant, session }, phase, round) => {
    progress(`round ${round + 1} of ${rounds}: ${phase.workload}, ${phase.inFlight} in flight, ${contestant.name} …`)
    return await measureClosed(
      session,
      { ...phase, warmUpSeconds, seconds },
      `${phase.workload} of ${contestant.name}`,
      signal,
    )
  })
}

/**
 * Measures the store and its peers side by side on this machine. All run all the time; one at a time has a load. Rejects
 * with MissingProgramError where a peer's program is not there, when a store cannot be started or ends, or with the
 * reason of `signal`; whatever was started has then been stopped. Operations that failed are in the report.
 */
export async function runPeersBenchmark(
  settings: PeersSettings,
  signal: AbortSignal,
  progress: Progress,
): Promise<PeersReport> {
  const startedAt = new Date().toISOString()
  const chosen = contestants.filter(({ name }, i) => i === 0 || settings.contestants.includes(name))
  const peers = [...new Set(chosen.flatMap(({ peer }) => peer ?? []))]
  await providePrograms(peers, settings.install, signal)
  const versions = new Map(await Promise.all(peers.map(async (peer) => [peer, await versionOf(peer)] as const)))
  const environment = await readEnvironment()
  const running: Running[] = []
  try {
    await startAll(chosen, settings, running, signal, progress)
    const described = await Promise.all(running.map((each) => describe(each, versions, signal)))
    const reports = await measureAll(settings, running, signal, progress)
    const all = reports.flat(2)
    const { keys, valueBytes, rounds, seconds: secondsPerRound, warmUpSeconds, seed } = settings
    return {
      ...{ benchmark: 'peers', startedAt, environment, fileSystem: await fileSystemOf(settings.dataDir) },
      ...{ keys, keyBytes, valueBytes, rounds, secondsPerRound, warmUpSeconds, seed },
      contestants: described,
      phases: phasesOf(settings).map((phase, p) => ({
        ...phase,
        rows: running.map(({ contestant }, c) => rowOf(contestant.name, reports[c]![p]!, reports[0]![p]!)),
      })),
      errorExamples: [...new Set(all.flatMap(({ errors }) => errors.examples))].slice(0, limits.errorExamplesMax),
      ok: all.every(({ errors }) => errors.count === 0),
    }
  } finally {
    await stopAll(running)
  }
}
