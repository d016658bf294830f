import type { ClusterStatus, ConvergenceStatus, Member, MemberStatus } from '@quorumkv/client'
import type { Colors } from 'picocolors/types.js'
import { handoverLines } from './change-text.js'
import type { Client } from './context.js'
import { formatDuration } from './duration.js'
import { type Look, table } from './table.js'
import { formatBytes, formatCount, plural, visible } from './text.js'

const waitsText = 'does not serve yet: its log says what it waits for'

/** So many digits of an incarnation tell one life of a member's data directory from another, for people. */
const lifeDigits = 8

/** Columns that a narrow terminal can do without, the least important one first. */
const droppedFirst = ['life', 'no.', 'repaired', 'version', 'compared', 'log', 'uptime', 'zone', 'keys', 'address']

/** What the node that answers says of the cluster, and what each member says of itself, by its id. */
export interface ClusterView {
  readonly seen: ClusterStatus
  readonly told: ReadonlyMap<string, MemberStatus>
}

/** Before a cluster is founded there is no topology, and the node that answered is all there is to ask. */
export async function lookAtCluster(client: Client, timeoutMs: number | undefined): Promise<ClusterView> {
  const seen = await client.status(undefined, { timeoutMs })
  const members = seen.forming ? [] : await client.statusAll({ timeoutMs })
  return { seen, told: new Map(members.map((one) => [one.id, one])) }
}

/** One object for programs. */
export function statusJson({ seen, told }: ClusterView): object {
  const members = seen.members.map((member) => {
    const one = told.get(member.id)
    if (one === undefined) return member
    if (!one.ok) return { ...member, error: { code: one.error.code, message: one.error.message } }
    const { serverVersion, uptimeMs, epoch, storage, convergence, hints, draining } = one.status
    const { certificates, certificateProblem } = one.status
    const own = { serverVersion, uptimeMs, epoch, draining, ...storage, convergence, hints }
    return { ...member, ...own, certificates, certificateProblem }
  })
  const { clusterId, epoch, nodeId, forming, replication, handover, planned, featureLevel } = seen
  return { clusterId, epoch, nodeId, forming, featureLevel, ...replication, members, handover, planned }
}

/** Operations a second that members run for clients, by their ids; undefined: of a member it is not known. */
export type Rates = ReadonlyMap<string, number | undefined>

/** What people are shown: a head, a table of the members, and what is in the way. `rates`: where they are watched. */
export function statusText({ seen, told }: ClusterView, look: Look, rates?: Rates): string {
  const { colours } = look
  const lines = [
    `cluster ${seen.clusterId || '(none yet)'}, epoch ${seen.epoch}, as ${seen.nodeId} sees it`,
    copiesText(seen),
  ]
  if (seen.forming) {
    // A member of a cluster may have moved, or have to find out what --peers names.
    const what = seen.epoch === 0 ? 'waits for the members named in its --peers before it serves' : waitsText
    lines.push(colours.yellow(`this node ${what}`))
    return `${lines.join('\n')}\n`
  }
  const alive = seen.members.filter((member) => member.liveness === 'alive').length
  lines.push(`${alive} of ${seen.members.length} members alive`, ...handoverLines(seen), ...levelLines(seen), '')
  const head = [
    'id',
    'no.',
    'life',
    'address',
    'liveness',
    'state',
    'keys',
    'log',
    'compared',
    'repaired',
    'version',
    'uptime',
  ]
  const zones = seen.members.some((member) => member.zone !== '')
  if (rates !== undefined) head.splice(6, 0, 'ops/s')
  if (zones) head.splice(4, 0, 'zone')
  const rows = seen.members.map((member) => memberRow(member, told.get(member.id), { zones, rates, colours }))
  const troubles = seen.members.flatMap((member) => trouble(told.get(member.id), seen.members, colours))
  return `${lines.join('\n')}\n${table(look, head, rows, droppedFirst)}${troubles.map((line) => `${line}\n`).join('')}`
}

/** Quorums are what is set, but at most all members that own slots: with fewer than copies are wanted each has all. */
function copiesText({ members, replication, forming }: ClusterStatus): string {
  const { replicationFactor, readQuorum, writeQuorum } = replication
  const owners = members.filter(({ state }) => state !== 'joining' && state !== 'left').length
  const copies = forming ? replicationFactor : Math.min(replicationFactor, owners)
  const wanted = copies < replicationFactor ? ` (on ${replicationFactor} when there are as many)` : ''
  const [reads, writes] = [Math.min(readQuorum, copies), Math.min(writeQuorum, copies)]
  return `every key on ${plural(copies, 'member')}${wanted}; reads ask ${reads}, writes wait for ${writes}`
}

interface RowParts {
  readonly zones: boolean
  readonly rates: Rates | undefined
  readonly colours: Colors
}

function memberRow(member: Member, one: MemberStatus | undefined, { zones, rates, colours }: RowParts): string[] {
  const own = one?.ok === true ? one.status : undefined
  const row = [
    member.id,
    String(member.number),
    member.incarnation.slice(0, lifeDigits),
    member.address,
    livenessText(member, colours),
    stateText(member, own?.draining === true, colours),
    own === undefined ? '-' : formatCount(own.storage.entries),
    own === undefined ? '-' : formatBytes(own.storage.logBytes),
    own === undefined ? '-' : comparedText(own.convergence),
    own === undefined ? '-' : formatCount(own.convergence.recordsPulled + own.convergence.recordsPushed),
    own?.serverVersion ?? '-',
    own === undefined ? '-' : formatDuration(own.uptimeMs),
  ]
  if (rates !== undefined) row.splice(6, 0, rates.has(member.id) ? rateText(rates.get(member.id)) : '-')
  if (zones) row.splice(4, 0, member.zone || '-')
  return row
}

/** Operations a second; `?`: not known, of the first look at a member or because it does not tell. */
export function rateText(rate: number | undefined): string {
  if (rate === undefined) return '?'
  return rate > 0 && rate < 10 ? rate.toFixed(1) : formatCount(Math.round(rate))
}

/** What all could go by, where that is newer than what they do. */
function levelLines({ members, featureLevel }: ClusterStatus): string[] {
  const level = Math.min(...members.map(({ levels }) => levels.max))
  if (level <= featureLevel || members.some(({ levels }) => levels.min > level)) return []
  return [`feature level ${featureLevel}; the software of all members goes by ${level}: see \`kv help raise-level\``]
}

/** `serving` is the rule; whatever else a member is or does stands out. */
function stateText({ state }: Member, draining: boolean, colours: Colors): string {
  const text = draining ? `${state}, draining` : state
  return text === 'serving' ? text : colours.yellow(text)
}

/** How long ago the last of all comparisons with other members was over: everything older was equal then. */
function comparedText({ peers }: ConvergenceStatus): string {
  if (peers.length === 0) return '-'
  const ages = peers.map(({ comparedMsAgo }) => comparedMsAgo ?? Number.POSITIVE_INFINITY)
  const oldestMs = Math.max(...ages)
  return Number.isFinite(oldestMs) ? `${formatDuration(oldestMs)} ago` : 'not yet'
}

/** With how long somebody has been away: it says whether that is about to be made up for. */
function livenessText({ liveness, livenessMs }: Member, colours: Colors): string {
  const away = liveness === 'dead' || liveness === 'left'
  return coloured(liveness, colours) + (away ? ` for ${formatDuration(livenessMs)}` : '')
}

/** `alive` is green, `dead` red. */
export function coloured(liveness: Member['liveness'], colours: Colors): string {
  if (liveness === 'alive') return colours.green(liveness)
  return liveness === 'dead' ? colours.red(liveness) : colours.yellow(liveness)
}

/** A certificate is worth a line from this long before its end. */
const expiresSoonMs = 2_592_000_000

/** What is wrong with certificates, or soon will be. */
export function certificateLines(
  id: string,
  { certificates, certificateProblem }: Pick<ClusterStatus, 'certificates' | 'certificateProblem'>,
  nowMs: number,
): string[] {
  const lines = certificates.flatMap(({ kind, subject, expiresAtMs }) => {
    const leftMs = expiresAtMs - nowMs
    if (leftMs > expiresSoonMs) return []
    const whose = kind === 'node' ? `the certificate of ${id}` : `an authority that ${id} trusts (${subject})`
    return [leftMs < 0 ? `${whose} has expired` : `${whose} expires in ${formatDuration(leftMs)}`]
  })
  if (certificateProblem !== '') lines.push(`${id} does not use its new certificate: ${certificateProblem}`)
  return lines
}

function trouble(one: MemberStatus | undefined, members: readonly Member[], colours: Colors): string[] {
  if (one === undefined) return []
  if (!one.ok) return [colours.yellow(visible(`${one.id} did not answer: ${one.error.message}`))]
  const { readOnly, lostSlots, refillObstacle, tombstones, floorObstacle } = one.status.storage
  const lines = certificateLines(one.id, one.status, Date.now())
  if (readOnly) lines.push(`${one.id} takes no writes: its disk is full`)
  if (floorObstacle !== '') lines.push(`${one.id} keeps ${plural(tombstones, 'tombstone')}: ${floorObstacle}`)
  if (lostSlots > 0) {
    const how = refillObstacle === '' ? 'it refills them from the other members' : refillObstacle
    lines.push(`${one.id} has lost ${lostSlots} slots and does not answer for them: ${how}`)
  }
  for (const { nodeId, hints, bytes, oldestMsAgo } of one.status.hints) {
    if (hints === 0) continue
    const [size, age] = [formatBytes(bytes), formatDuration(oldestMsAgo)]
    lines.push(
      `${one.id} keeps ${plural(hints, 'write')} (${size}, the oldest ${age} old) for ${nodeId}, which has missed them`,
    )
  }
  const down = new Set(members.filter(({ liveness }) => liveness === 'dead' || liveness === 'left').map(({ id }) => id))
  for (const { nodeId, differingSlots, obstacle } of one.status.convergence.peers) {
    if (down.has(nodeId)) continue
    if (differingSlots > 0) lines.push(`${one.id} and ${nodeId} differ in ${plural(differingSlots, 'slot')}`)
    if (obstacle !== '') lines.push(`${one.id} could not be compared with ${nodeId}: ${obstacle}`)
  }
  return lines.map((line) => colours.yellow(visible(line)))
}
