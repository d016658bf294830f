import type { Log } from '@quorumkv/internal/env'
import type { ObservedEvent } from '@quorumkv/internal/env-sim'
import { SimCluster } from '../sim-cluster.js'
import { Clients } from './clients.js'
import { checkEnd } from './invariants.js'
import { Ledger } from './ledger.js'
import { becomeWhole, type Players, passLull } from './lull.js'
import { Nemesis } from './nemesis.js'
import { drawScenario, type Scenario } from './scenario.js'
import { type ChangeCounts, TopologyHistory } from './topology-history.js'
import { Watch } from './watch.js'

export interface RunOptions {
  /** Sees every event of the simulated world before it happens. */
  readonly observe?: (event: ObservedEvent) => void
  /** Where what nodes log goes, and what the nemesis does; default nowhere. */
  readonly tell?: (timeMs: number, who: string, what: string) => void
  /** Default true; see `Scenario.atlas`. */
  readonly atlas?: boolean
  /** Members come, go and change while the cluster is played; default false. */
  readonly changes?: boolean
  /** Ends the run when something is found wrong. */
  readonly once?: boolean
  /** Replaces parts of what the seed draws. */
  readonly adapt?: (scenario: Scenario) => Scenario
}

export interface RunReport {
  readonly scenario: Scenario
  /** Fingerprint of everything that happened. */
  readonly hash: string
  readonly simulatedMs: number
  readonly events: number
  readonly calls: number
  readonly returned: number
  readonly acknowledged: number
  /** Operations whose place in an order was checked. */
  readonly checked: number
  readonly faults: Nemesis['done']
  /** What became of the members. */
  readonly changes: ChangeCounts
  /** What happened last before the first violation was noticed, a line each. */
  readonly lastEvents: readonly string[]
  /** Empty: all was well. */
  readonly violations: readonly string[]
}

/** So that tombstones are collected within a run; no request lives as long as two comparisons are apart. */
const floorTuning = { horizonMs: 1_000, agreementMs: 4_000, intervalMs: 500 }

/** One run of a whole cluster: faults under load, an end of all faults, and what must be true then. */
export async function runSeed(seed: number, options: RunOptions = {}): Promise<RunReport> {
  const drawn = drawScenario(seed, options.atlas, options.changes)
  const scenario = options.adapt?.(drawn) ?? drawn
  const { nodes, replication, maxClockDriftMs, latencyMs, logSegmentBytes, logPreallocateBytes } = scenario
  const { tell } = options
  const recent = new RecentEvents(() => violated())
  let violated = (): boolean => false
  let nowMs = (): number => 0
  let sees = (_event: ObservedEvent): void => undefined
  const cluster = await SimCluster.start({
    seed,
    ...(tell === undefined ? {} : { logOf: (name: string) => logTo((what) => tell(nowMs(), name, what)) }),
    nodes,
    replication,
    maxClockDriftMs,
    network: { latencyMs },
    snapshotWalBytes: scenario.snapshotWalBytes,
    snapshotIntervalMs: scenario.snapshotIntervalMs,
    ...(scenario.changes === undefined ? {} : { streamBytesPerSecond: scenario.changes.streamBytesPerSecond }),
    floorTuning,
    tuning: { logSegmentBytes, logPreallocateBytes: Math.min(logSegmentBytes, logPreallocateBytes) },
    observe: (event) => {
      if (options.once === true && violated()) throw new Error('enough has been seen')
      recent.note(event)
      sees(event)
      options.observe?.(event)
    },
  })
  const { world } = cluster
  nowMs = () => world.nowMs
  const ledger = new Ledger(() => world.nowMs, !scenario.atlas)
  violated = () => ledger.violations.length > 0
  const history = new TopologyHistory(cluster, ledger)
  history.look()
  const watch = new Watch(cluster, scenario, ledger, history)
  const clients = new Clients(cluster, scenario, ledger, watch)
  const nemesis = new Nemesis(cluster, scenario, ledger, watch, history, (what) => tell?.(world.nowMs, 'nemesis', what))
  sees = (event) => {
    history.look()
    nemesis.sees(event)
  }
  watch.start()
  clients.start()
  nemesis.start()
  nemesis.operator?.start()
  try {
    await playToTheEnd({ cluster, scenario, ledger, nemesis, clients })
  } catch (error) {
    // A cluster that has broken its promises may be in a state that this play has no idea of.
    if (ledger.violations.length === 0) throw error
  }
  watch.stop()
  const checked = ledger.checkHistories()
  return {
    scenario,
    hash: world.hash,
    simulatedMs: world.nowMs,
    events: world.eventsRun,
    calls: ledger.history.calls,
    returned: ledger.history.returned,
    acknowledged: ledger.acknowledgements,
    checked,
    faults: nemesis.done,
    changes: history.counts(),
    lastEvents: recent.lines(),
    violations: ledger.violations,
  }
}

/** Bursts of faults with lulls between them; then all faults end, and what is left is looked at. */
async function playToTheEnd(players: Players): Promise<void> {
  const { cluster, scenario, ledger, nemesis, clients } = players
  const { world } = cluster
  const burstMs = scenario.faultsMs / (scenario.lulls.length + 1)
  for (const lull of scenario.lulls) {
    await world.advance(burstMs)
    await passLull(players, lull)
  }
  await world.advance(burstMs)
  await nemesis.mend()
  if (scenario.atlas) await becomeWhole(cluster, ledger)
  await world.advance(1_000)
  clients.stop()
  await world.advance(Clients.patienceMs)
  if (!scenario.atlas || cluster.runningNames.length < cluster.names.length) return
  await checkEnd(cluster, scenario, ledger, nemesis.losesSingleCopies)
}

/** What nodes log, a line each. */
function logTo(tell: (line: string) => void): Log {
  const at =
    (level: string) =>
    (message: string, facts: Readonly<Record<string, unknown>> = {}): void =>
      tell(`${level} ${message} ${JSON.stringify(facts)}`)
  return { debug: () => undefined, info: at('info'), warn: at('warn'), error: at('error') }
}

const recentMax = 40

/** The last events of a run, until something is found wrong. */
class RecentEvents {
  readonly #events: ObservedEvent[] = []
  readonly #over: () => boolean
  #noted = 0

  constructor(over: () => boolean) {
    this.#over = over
  }

  note(event: ObservedEvent): void {
    if (!this.#over()) this.#events[this.#noted++ % recentMax] = event
  }

  lines(): string[] {
    const from = this.#noted % recentMax
    return [...this.#events.slice(from), ...this.#events.slice(0, from)].map(
      ({ timeMs, owner, kind, detail }) => `${timeMs.toFixed(3)} ${owner} ${kind} ${detail}`,
    )
  }
}
