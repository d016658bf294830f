import type { ClusterTopology, HandoverStatus, Member } from '@quorumkv/client'
import type { Command } from 'commander'
import { examples } from '../arguments.js'
import type { Context, Execute } from '../context.js'
import { exitStatus } from '../exit.js'
import { write, writeJson } from '../output.js'
import { coloured } from '../status-text.js'
import { type Look, table } from '../table.js'
import { formatCount, plural } from '../text.js'

export function registerRing(program: Command, execute: Execute): void {
  program
    .command('ring')
    .summary('show how the keys are spread over the members')
    .description(
      'Shows how many of the slots each member owns: in any place, and as the preferred owner. The fair share follows ' +
        "from the members' weights. Where members have zones, also whether slots keep their quorum when one is lost.",
    )
    .helpGroup('Cluster:')
    .addHelpText('after', examples('kv ring', 'kv ring --json'))
    .action(() => execute(ring))
}

/** What one member owns. */
interface Share {
  readonly id: string
  readonly address: string
  readonly zone: string
  readonly weight: number
  readonly liveness: Member['liveness']
  readonly state: Member['state']
  /** Slots of which it is one of the owners. */
  readonly slots: number
  /** Slots of which it is the preferred owner. */
  readonly preferred: number
  /** Of all keys, how many it holds: 0 to 1. */
  readonly share: number
  /** What it would hold if all that own anything held as much as their weights say: 0 to 1. */
  readonly fairShare: number
  /** While a handover runs: what it owns on the other side, those to come until its step `switch`; otherwise as `slots`. */
  readonly otherSlots: number
}

/** What the members of one zone own together. */
interface ZoneShare {
  /** Empty: members without one. */
  readonly zone: string
  readonly members: number
  /** Copies of slots in it. */
  readonly slots: number
  /** Slots of which it holds more than one copy. */
  readonly doubled: number
  /** Slots that would have less than a quorum if the zone were lost. */
  readonly needed: number
}

type Owners = (slot: number) => readonly Member[]

/** How many slots each member owns, and of how many it is the first owner. */
function counted(
  { slots }: ClusterTopology,
  owners: Owners,
): { slots: Map<string, number>; first: Map<string, number> } {
  const all = new Map<string, number>()
  const first = new Map<string, number>()
  const count = (counts: Map<string, number>, id: string): void => void counts.set(id, (counts.get(id) ?? 0) + 1)
  for (let slot = 0; slot < slots; slot++) {
    for (const [rank, { id }] of owners(slot).entries()) {
      count(all, id)
      if (rank === 0) count(first, id)
    }
  }
  return { slots: all, first }
}

/** The shares of all members, in the members' order. */
export function shares(topology: ClusterTopology): Share[] {
  const { slots, first } = counted(topology, (slot) => topology.owners(slot))
  const other = topology.handover === undefined ? slots : counted(topology, (slot) => topology.otherOwners(slot)).slots
  const copies = [...slots.values()].reduce((sum, count) => sum + count, 0)
  const owning = topology.members.filter(({ id }) => slots.has(id))
  const weights = owning.reduce((sum, member) => sum + member.weight, 0)
  return topology.members.map(({ id, address, zone, weight, liveness, state }) => ({
    ...{ id, address, zone, weight, liveness, state },
    slots: slots.get(id) ?? 0,
    preferred: first.get(id) ?? 0,
    share: (slots.get(id) ?? 0) / topology.slots,
    // Nobody can own a slot twice.
    fairShare: slots.has(id) ? Math.min(1, ((weight / weights) * copies) / topology.slots) : 0,
    otherSlots: other.get(id) ?? 0,
  }))
}

/** What zones own, by their names; none where no member has one. */
export function zones(topology: ClusterTopology): ZoneShare[] {
  const names = [...new Set(topology.members.map(({ zone }) => zone))].sort()
  if (names.every((zone) => zone === '')) return []
  const { readQuorum, writeQuorum } = topology.replication
  return names.map((zone) => {
    let [copies, doubled, needed] = [0, 0, 0]
    for (let slot = 0; slot < topology.slots; slot++) {
      const owners = topology.owners(slot)
      const inside = owners.filter((owner) => owner.zone === zone).length
      copies += inside
      if (inside > 1) doubled++
      if (inside > 0 && owners.length - inside < Math.min(owners.length, Math.max(readQuorum, writeQuorum))) needed++
    }
    const members = topology.members.filter((member) => member.zone === zone).length
    return { zone, members, slots: copies, doubled, needed }
  })
}

export async function ring({ io, client, options, look }: Context): Promise<number> {
  const topology = await client().topology({ timeoutMs: options.timeoutMs })
  const members = shares(topology)
  const inZones = zones(topology)
  const { clusterId, epoch, slots, replication, handover } = topology
  if (options.json) {
    await writeJson(io.stdout, { clusterId, epoch, slots, ...replication, members, zones: inZones, handover })
    return exitStatus.done
  }
  let text = `${formatCount(slots)} slots, each on ${replication.replicationFactor} members; epoch ${epoch}\n`
  if (handover !== undefined) {
    const other = handover.step === 'switch' ? 'from before' : 'to come'
    text += `a handover runs since epoch ${handover.since}: the column "${otherHead(handover)}" shows the owners ${other}\n`
  }
  text += `\n${membersTable(members, handover, look)}`
  if (inZones.length > 0) text += `\n${zonesTable(inZones, look)}`
  await write(io.stdout, text)
  return exitStatus.done
}

function membersTable(members: readonly Share[], handover: HandoverStatus | undefined, look: Look): string {
  const percent = (share: number): string => `${(share * 100).toFixed(1)}%`
  const withZones = members.some(({ zone }) => zone !== '')
  const head = [
    ...['id', 'address', ...(withZones ? ['zone'] : []), 'liveness', 'weight', 'slots'],
    ...(handover === undefined ? [] : [otherHead(handover)]),
    ...['of all keys', 'fair share', 'off by', 'preferred'],
  ]
  const rows = members.map((one) => [
    ...[one.id, one.address, ...(withZones ? [one.zone || '-'] : []), coloured(one.liveness, look.colours)],
    ...[String(one.weight), formatCount(one.slots)],
    ...(handover === undefined ? [] : [formatCount(one.otherSlots)]),
    ...[percent(one.share), percent(one.fairShare)],
    one.fairShare === 0 ? '-' : `${one.share >= one.fairShare ? '+' : ''}${percent(one.share / one.fairShare - 1)}`,
    formatCount(one.preferred),
  ])
  return table(look, head, rows, ['weight', 'preferred', 'fair share', 'address', 'of all keys', 'zone'])
}

function otherHead({ step }: HandoverStatus): string {
  return step === 'switch' ? 'before' : 'then'
}

function zonesTable(inZones: readonly ZoneShare[], look: Look): string {
  const rows = inZones.map(({ zone, members, slots, doubled, needed }) => [
    ...[zone || '-', String(members), formatCount(slots), formatCount(doubled)],
    needed === 0
      ? look.colours.green('all slots keep their quorum')
      : look.colours.red(`${plural(needed, 'slot')} lose their quorum`),
  ])
  return table(look, ['zone', 'members', 'copies', 'slots with two', 'if it is lost'], rows)
}
