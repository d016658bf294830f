import { adviceAbout } from './advice.js'
import { type CopyCount, countCopies } from './copies.js'
import type { Advice, ClusterView, HealthLevel, HealthView, NodeView } from './view.js'
import { counted, durationText, listText } from './words.js'

/*
 * The cluster's health in a sentence, and what to do. Pure: a view in, words out. What is told is what the telling node
 * knows; on the other side of a partition another node tells another story.
 */

/** A view without what is made here. */
export type Observed = Omit<ClusterView, 'health'>

const order: Readonly<Record<HealthLevel, number>> = { critical: 0, warning: 1, notice: 2, ok: 3 }

/** How the cluster is, and what should be done, the most pressing first. */
export function healthOf(view: Observed): HealthView {
  if (view.cluster.forming) {
    const sentence = `${view.self} waits for the nodes that --peers names, and serves nothing until a cluster has formed.`
    return { level: 'notice', sentence, advice: [] }
  }
  const copies = countCopies(view)
  const advice = [...absences(view, copies), ...adviceAbout(view)].sort((a, b) => order[a.level] - order[b.level])
  const level = advice[0]?.level ?? 'ok'
  return { level, sentence: sentenceOf(view, copies, advice), advice }
}

/** Who is not there: dead or stopped. */
function isAway({ member }: NodeView): boolean {
  return member.liveness === 'dead' || member.liveness === 'left'
}

/** Nobody has given it up, and it does not answer, or there is no link to it. */
function isSuspect({ member }: NodeView): boolean {
  return member.liveness === 'suspect' || (member.liveness === 'alive' && !member.linked)
}

function idsOf(view: Observed, holds: (node: NodeView) => boolean): string[] {
  return Object.keys(view.nodes)
    .filter((id) => holds(view.nodes[id]!))
    .sort()
}

function awayText(view: Observed, id: string): string {
  const { liveness, sinceMs } = view.nodes[id]!.member
  const forText = durationText(view.atMs - sinceMs)
  return liveness === 'left' ? `${id} was stopped ${forText} ago` : `${id} is dead for ${forText}`
}

function awaySubject(view: Observed, away: readonly string[]): string {
  return away.length === 1 ? awayText(view, away[0]!) : `${listText(away)} are down`
}

/** What clients feel of it. */
function serviceText({ slots, unreadable, unwritable, fewest }: CopyCount): string {
  if (unreadable === 0 && unwritable === 0) {
    return fewest === 1 ? 'reads and writes go on, with a single copy of some keys' : 'reads and writes go on'
  }
  const share = (count: number): string =>
    count === slots ? 'all keys' : `${Math.ceil((100 * count) / slots)} % of the keys`
  if (unreadable === unwritable) return `${share(unreadable)} can be neither read nor written`
  if (unreadable === 0) return `${share(unwritable)} cannot be written`
  return `${share(unwritable)} cannot be written, and ${share(unreadable)} not read either`
}

function sentenceOf(view: Observed, copies: CopyCount, advice: readonly Advice[]): string {
  const away = idsOf(view, isAway)
  if (away.length > 0) {
    const [first, second] = [`${awaySubject(view, away)}: ${serviceText(copies)}`, outlook(view, away)]
    return second === '' ? `${first}.` : `${first}; ${second}.`
  }
  const suspects = idsOf(view, isSuspect)
  if (suspects.length > 0) {
    const verb = suspects.length === 1 ? 'does' : 'do'
    return `${listText(suspects)} ${verb} not answer: ${serviceText(copies)}.`
  }
  if (copies.unwritable > 0 || copies.unreadable > 0) return `All members are up, but ${serviceText(copies)}.`
  const more = advice.filter(({ level }) => level !== 'notice').length
  const but = more === 0 ? '' : ` ${counted(more, 'thing needs', 'things need')} attention.`
  return `${upText(view)}; ${copiesText(view, copies)}.${but}`
}

function upText(view: Observed): string {
  const count = Object.keys(view.nodes).length
  if (count === 1) return 'The only node is up'
  return count === 2 ? 'Both nodes are up' : `All ${count} nodes are up`
}

function copiesText({ cluster }: Observed, { fewest }: CopyCount): string {
  const has = `every slot has ${counted(fewest, 'copy', 'copies')}`
  return fewest < cluster.replicationFactor ? `${has} of ${cluster.replicationFactor}, for want of nodes` : has
}

/** Whether the others remove a member by themselves when it has been away for long. */
function isReplaced(view: Observed): boolean {
  const { replaceAfterMs, replicationFactor, readQuorum } = view.cluster
  const staying = idsOf(view, (node) => node.member.liveness === 'alive' && node.member.state === 'serving')
  const majority = staying.length * 2 > Object.keys(view.nodes).length
  return replaceAfterMs > 0 && majority && staying.length >= replicationFactor && readQuorum > 1
}

function replacedText(view: Observed, id: string): string {
  const dueMs = view.nodes[id]!.member.sinceMs + view.cluster.replaceAfterMs
  const leftMs = dueMs - view.atMs
  return leftMs > 1_000 ? `it is replaced in ${durationText(leftMs)}` : 'it is about to be replaced'
}

function isGoing(view: Observed, id: string): boolean {
  const { state } = view.nodes[id]!.member
  return state === 'leaving' || state === 'left'
}

/** What comes next if nobody does anything, or what has to be done. */
function outlook(view: Observed, away: readonly string[]): string {
  const [id] = away
  if (away.length !== 1 || id === undefined) return 'start them again'
  if (isGoing(view, id)) return 'its slots are being taken over'
  if (isReplaced(view)) return `${replacedText(view, id)}, or run \`kv node remove ${id}\``
  return 'start it again'
}

function absences(view: Observed, copies: CopyCount): Advice[] {
  const level = copies.unwritable > 0 || copies.unreadable > 0 ? 'critical' : 'warning'
  const away = idsOf(view, isAway).map((id): Advice => {
    const head = awayText(view, id)
    if (isGoing(view, id))
      return { level: 'notice', text: `${head}; its slots are being taken over.`, command: '', subject: id }
    if (isReplaced(view)) {
      const text = `${head}. Start it again, or wait: ${replacedText(view, id)} by the copies of the others.`
      return { level, text, command: `kv node remove ${id}`, subject: id }
    }
    return { level, text: `${head}. ${startText(view, id)}`, command: '', subject: id }
  })
  const suspects = idsOf(view, isSuspect).map((id): Advice => {
    const { liveness, sinceMs } = view.nodes[id]!.member
    const forText = durationText(view.atMs - sinceMs)
    const silent = `${id} has not answered for ${forText}. It is held for dead if it does not contradict.`
    const text =
      liveness === 'suspect' ? silent : `${view.self} has no link to ${id}, and sends its requests to others.`
    return { level, text, command: '', subject: id }
  })
  return [...away, ...suspects]
}

/** Why a member is not removed by itself, and what that leaves. */
function startText(view: Observed, id: string): string {
  const { replaceAfterMs, replicationFactor, readQuorum } = view.cluster
  const start = 'Start it again'
  if (readQuorum === 1) return `${start}: where one copy answers a read, no member is removed by itself.`
  if (replaceAfterMs === 0) return `${start}, or remove it with \`kv node remove ${id}\`: nobody does it by itself.`
  const others = idsOf(view, ({ member }) => member.liveness === 'alive').length
  if (others < replicationFactor) {
    return `${start}, or another in its place: ${counted(others, 'member')} cannot keep ${replicationFactor} copies.`
  }
  return `${start}: without a majority of the members nothing can be changed.`
}
