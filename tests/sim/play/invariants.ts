import { compareVersions } from '@quorumkv/internal/hlc'
import type { SimCluster } from '../sim-cluster.js'
import type { Ledger } from './ledger.js'
import type { Scenario } from './scenario.js'

const text = new TextEncoder()

/** What must be true when all faults are over and the clients have gone. */
export async function checkEnd(cluster: SimCluster, scenario: Scenario, ledger: Ledger): Promise<void> {
  await everyKeyIsRead(cluster, scenario, ledger)
  nothingAcknowledgedIsLost(cluster, scenario, ledger)
}

/** Every key can be read and written through every node: the histories get their last word. */
async function everyKeyIsRead(cluster: SimCluster, scenario: Scenario, ledger: Ledger): Promise<void> {
  for (const name of cluster.names) {
    for (let i = 0; i < scenario.keys; i++) {
      const key = `k${i}`
      const call = ledger.history.call(key, 'read')
      try {
        const value = await cluster.settle(cluster.get(name, key, 'quorum', 10_000))
        call.returned(value === undefined ? undefined : value.split('.', 1)[0])
      } catch (error) {
        call.failed('not-applied')
        ledger.violation(`${name} cannot read ${key} although nothing is wrong any more: ${String(error)}`)
      }
    }
  }
}

/** What was acknowledged is on a write quorum of its owners, or something newer is. */
function nothingAcknowledgedIsLost(cluster: SimCluster, scenario: Scenario, ledger: Ledger): void {
  for (const [key, acknowledged] of ledger.highest) {
    let holders = 0
    for (const name of cluster.names) {
      const version = cluster.node(name).localStore?.getVersion(text.encode(key))
      if (version !== undefined && compareVersions(version, acknowledged) >= 0) holders++
    }
    const { writeQuorum } = scenario.replication
    if (holders < writeQuorum) {
      ledger.violation(`${key}: what was acknowledged is on ${holders} nodes, ${writeQuorum} had acknowledged it`)
    }
  }
}
