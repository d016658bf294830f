import type { Log } from '../../env/index.js'
import type { Topology } from '../../slots/index.js'
import type { LocalNode } from './handshake.js'

/** A setting that was given at this start, and what the topology says instead. */
export interface DifferingSetting extends Record<string, unknown> {
  readonly setting: string
  readonly given: unknown
  readonly inForce: unknown
}

/** Settings that belong to the topology are those of the founding; whoever gives others at a restart should know. */
export function differingSettings(local: LocalNode, topology: Topology): DifferingSetting[] {
  const member = topology.members.find(({ id }) => id === local.id)
  const { replication, virtualNodes } = topology
  const { zone, weight } = member ?? local
  const given = { ...local.replication, virtualNodes: local.virtualNodes }
  const inForce = { ...replication, virtualNodes }
  const pairs: [string, unknown, unknown][] = [
    ['replicationFactor', given.replicationFactor, inForce.replicationFactor],
    ['readQuorum', given.readQuorum, inForce.readQuorum],
    ['writeQuorum', given.writeQuorum, inForce.writeQuorum],
    ['virtualNodes', given.virtualNodes, inForce.virtualNodes],
    ['zone', local.zone, zone],
    ['weight', local.weight, weight],
  ]
  return pairs.filter(([, a, b]) => a !== b).map(([setting, a, b]) => ({ setting, given: a, inForce: b }))
}

/** Tells of every such setting. */
export function warnOfDifferingSettings(log: Log, local: LocalNode, topology: Topology): void {
  for (const facts of differingSettings(local, topology)) {
    log.warn('a setting differs from the topology, which is in force', facts)
  }
}
