import type { ChangePlan, ClusterStatus, HandoverStatus, PlannedChange } from '@quorumkv/client'
import type { Colors } from 'picocolors/types.js'
import { formatDuration } from './duration.js'
import { type Look, table } from './table.js'
import { formatBytes, formatCount, plural } from './text.js'

/** Of moves between pairs of members, so many are shown one by one. */
const movesShown = 20

/** A change in words: `decommission n3`. */
export function changeText({ kind, id, weight, by }: PlannedChange): string {
  if (kind === 'reweight') return `reweight ${id} to ${weight}`
  if (kind === 'replace') return `replace ${id} by ${by}`
  return kind === 'unknown' ? `a change of ${id} that this program does not know` : `${kind} ${id}`
}

/** What a change comes to, for people who are asked whether they want it. */
export function planText(what: string, plan: ChangePlan, look: Look): string {
  const { colours } = look
  const lines = [`${colours.bold(what)}:`]
  if (plan.begins === 'not') lines.push('  it is under way or done already: nothing has to be changed')
  if (plan.begins === 'queued')
    lines.push('  it waits until what is before it is over, or the node that it needs has joined')
  if (plan.calledOff.length > 0) lines.push(`  called off: ${plan.calledOff.map(changeText).join(', ')}`)
  if (plan.turnedAway.length > 0) lines.push(`  turned away: ${plan.turnedAway.join(', ')}, which were to join`)
  if (plan.copies > 0) {
    const size = plan.bytes === undefined ? '' : `, about ${formatBytes(plan.bytes)}`
    const time =
      plan.durationMs === undefined ? '' : `, some ${formatDuration(plan.durationMs)} at the rate that is set`
    lines.push(
      `  ${plural(plan.slots, 'slot')} get other owners: ${plural(plan.copies, 'copy', 'copies')} to make${size}${time}`,
    )
  } else if (plan.slots > 0) {
    lines.push(`  ${plural(plan.slots, 'slot')} get fewer owners, and no copy has to be made`)
  } else if (plan.begins === 'at-once') lines.push('  no data has to be moved')
  lines.push(`  ${spareText(plan, colours)}`)
  return `${lines.join('\n')}\n${movesText(plan, look)}`
}

function movesText({ moves }: ChangePlan, look: Look): string {
  if (moves.length === 0) return ''
  const most = [...moves].sort((a, b) => b.slots - a.slots).slice(0, movesShown)
  const rows = most.map(({ from, to, slots }) => [`  ${from ?? '-'}`, to ?? '-', formatCount(slots)])
  const rest = moves.length - most.length
  return table(look, ['  from', 'to', 'slots'], rows) + (rest === 0 ? '' : `  and ${plural(rest, 'smaller move')}\n`)
}

/** How many members may fail meanwhile. */
function spareText({ spareNow, spareMeanwhile, spareAfterwards }: ChangePlan, colours: Colors): string {
  if (spareMeanwhile < 0) {
    return colours.red(`meanwhile there are slots without a quorum, which lack ${plural(-spareMeanwhile, 'owner')}`)
  }
  const may = spareMeanwhile === 0 ? 'no member may fail' : `${plural(spareMeanwhile, 'member')} may fail`
  const text = `meanwhile ${may} without a slot losing its quorum (now ${spareNow}, afterwards ${spareAfterwards})`
  return spareMeanwhile === 0 ? colours.yellow(text) : text
}

/** How far a handover is in all members' words. */
export interface HandoverProgress {
  readonly slots: number
  readonly done: number
  readonly bytes: number
  /** Of the slowest; undefined: unknown. */
  readonly remainingMs: number | undefined
}

export function handoverProgress({ reports }: HandoverStatus): HandoverProgress {
  const sum = (figure: (report: HandoverStatus['reports'][number]) => number): number =>
    reports.reduce((total, report) => total + figure(report), 0)
  const busy = reports.filter(({ slots, done }) => done < slots)
  const remaining = busy.map(({ remainingMs }) => remainingMs ?? Number.NaN)
  const remainingMs = busy.length === 0 ? 0 : Math.max(...remaining)
  return {
    slots: sum(({ slots }) => slots),
    done: sum(({ done }) => done),
    bytes: sum(({ bytes }) => bytes),
    remainingMs: Number.isNaN(remainingMs) ? undefined : remainingMs,
  }
}

/** The handover that runs and what waits, for `kv status`. */
export function handoverLines({ handover, planned, members }: ClusterStatus): string[] {
  const lines: string[] = []
  if (handover !== undefined) {
    const { slots, done, bytes, remainingMs } = handoverProgress(handover)
    const joins = handover.joining.map((id) => `${id} joins`)
    const what = [...joins, ...handover.changes.map(changeText)].join(', ')
    const left = remainingMs === undefined || done === slots ? '' : `, about ${formatDuration(remainingMs)} left`
    const step =
      handover.step === 'switch'
        ? 'the new owners are read, and it ends soon'
        : `${done} of ${plural(slots, 'slot')} there`
    lines.push(`a handover runs since epoch ${handover.since} (${what}): ${step}, ${formatBytes(bytes)} moved${left}`)
    for (const { nodeId, obstacle } of handover.reports) {
      if (obstacle !== '') lines.push(`  ${nodeId} does not get on: ${obstacle}`)
    }
    const down = new Set(
      members.filter(({ liveness }) => liveness === 'dead' || liveness === 'left').map(({ id }) => id),
    )
    for (const id of handover.waitsFor) if (down.has(id)) lines.push(`  it waits for ${id}, which is down`)
  }
  if (planned.length > 0) lines.push(`planned: ${planned.map(changeText).join(', ')}`)
  return lines
}
