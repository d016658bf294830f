import type { SimCluster } from '../sim-cluster.js'
import { Clients } from './clients.js'
import { checkAtRest } from './invariants.js'
import type { Ledger } from './ledger.js'
import type { Nemesis } from './nemesis.js'
import type { Lull, Scenario } from './scenario.js'

/** After the faults, a cluster has so much time to become whole. */
export const recoveryMs = 60_000
/** Clients go on for so long when a node has been taken away: that is what it will have missed. */
const missedMs = 6_000

/** Who plays: what a lull needs of them. */
export interface Players {
  readonly cluster: SimCluster
  readonly scenario: Scenario
  readonly ledger: Ledger
  readonly clients: Clients
  readonly nemesis: Nemesis
}

/**
 * A quiet stretch between two bursts of faults: all is mended, clients go home, and virtual minutes pass that cost next
 * to nothing, because little happens. What hangs on the passing of time has its time here: entries expire, floors rise
 * and tombstones go, pauses of dialers and comparisons grow to their longest, clocks drift apart, and a node may be away
 * for all of it. Then the cluster must be as it is at rest, before anybody asks it for anything.
 */
export async function passLull(players: Players, { quietMs, away }: Lull): Promise<void> {
  const { cluster, scenario, ledger, clients, nemesis } = players
  const { world } = cluster
  await nemesis.mend()
  await becomeWhole(cluster, ledger)
  nemesis.driftApart()
  if (away !== undefined) {
    nemesis.takeAway(cluster.names[away % cluster.names.length]!)
    await world.advance(missedMs)
  }
  clients.stop()
  await world.advance(Clients.patienceMs + quietMs)
  if (away !== undefined) {
    await nemesis.startAll()
    await becomeWhole(cluster, ledger)
  }
  await checkAtRest(cluster, scenario, ledger, nemesis.losesSingleCopies)
  clients.start()
  nemesis.goOn()
}

/** Until every node sees every other one. */
export async function becomeWhole(cluster: SimCluster, ledger: Ledger): Promise<void> {
  await cluster.allConnected(recoveryMs).catch((error: unknown) => {
    ledger.violation(`the cluster did not become whole: ${String(error)}`)
  })
}
