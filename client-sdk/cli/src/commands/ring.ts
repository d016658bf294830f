import type { ClusterTopology } from '@quorumkv/client'
import type { Command } from 'commander'
import { examples } from '../arguments.js'
import type { Context, Execute } from '../context.js'
import { exitStatus } from '../exit.js'
import { table, write, writeJson } from '../output.js'
import { formatCount } from '../text.js'
import { coloured } from './status.js'

export function registerRing(program: Command, execute: Execute): void {
  program
    .command('ring')
    .summary('show how the keys are spread over the members')
    .description(
      'Shows how many of the slots each member owns: in any place, and as the preferred owner. The fair share follows ' +
        "from the members' weights.",
    )
    .helpGroup('Cluster:')
    .addHelpText('after', examples('kv ring', 'kv ring --json'))
    .action(() => execute(ring))
}

/** What one member owns. */
interface Share {
  readonly id: string
  readonly address: string
  readonly weight: number
  readonly liveness: ClusterTopology['members'][number]['liveness']
  /** Slots of which it is one of the owners. */
  readonly slots: number
  /** Slots of which it is the preferred owner. */
  readonly preferred: number
  /** Of all keys, how many it holds: 0 to 1. */
  readonly share: number
  /** What it would hold if all held as much as their weights say: 0 to 1. */
  readonly fairShare: number
}

/** The shares of all members, in the members' order. */
export function shares(topology: ClusterTopology): Share[] {
  const slots = new Map<string, number>()
  const preferred = new Map<string, number>()
  const count = (counts: Map<string, number>, id: string): void => void counts.set(id, (counts.get(id) ?? 0) + 1)
  let copies = 0
  for (let slot = 0; slot < topology.slots; slot++) {
    const owners = topology.owners(slot)
    copies += owners.length
    for (const owner of owners) count(slots, owner.id)
    if (owners[0] !== undefined) count(preferred, owners[0].id)
  }
  const weights = topology.members.reduce((sum, member) => sum + member.weight, 0)
  return topology.members.map(({ id, address, weight, liveness }) => ({
    id,
    address,
    weight,
    liveness,
    slots: slots.get(id) ?? 0,
    preferred: preferred.get(id) ?? 0,
    share: (slots.get(id) ?? 0) / topology.slots,
    // Nobody can own a slot twice.
    fairShare: weights === 0 ? 0 : Math.min(1, ((weight / weights) * copies) / topology.slots),
  }))
}

async function ring({ io, client, options, colours }: Context): Promise<number> {
  const topology = await client().topology({ timeoutMs: options.timeoutMs })
  const members = shares(topology)
  const { clusterId, epoch, slots, replication } = topology
  if (options.json) {
    await writeJson(io.stdout, { clusterId, epoch, slots, ...replication, members })
    return exitStatus.done
  }
  const percent = (share: number): string => `${(share * 100).toFixed(1)}%`
  const rows = members.map((one) => [
    one.id,
    one.address,
    coloured(one.liveness, colours),
    String(one.weight),
    formatCount(one.slots),
    percent(one.share),
    percent(one.fairShare),
    one.fairShare === 0 ? '-' : `${one.share >= one.fairShare ? '+' : ''}${percent(one.share / one.fairShare - 1)}`,
    formatCount(one.preferred),
  ])
  const head = ['id', 'address', 'liveness', 'weight', 'slots', 'of all keys', 'fair share', 'off by', 'preferred']
  const title = `${formatCount(slots)} slots, each on ${replication.replicationFactor} members; epoch ${epoch}\n\n`
  await write(io.stdout, title + table(colours, head, rows))
  return exitStatus.done
}
