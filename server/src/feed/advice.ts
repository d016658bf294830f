import type { Observed } from './health.js'
import type { Advice, HealthLevel, NodeView } from './view.js'
import { counted, durationText, listText } from './words.js'

/*
 * What deserves attention although everybody is there: each rule looks at one thing. A rule's bounds are those beyond which
 * somebody would want to know, not those at which something breaks.
 */

/** From here on a clock is worth a look, and beyond the second bound stamps of its node run ahead of or behind the others'. */
const clockNoticeMs = 250
const clockWarningMs = 2_000
const loopDelayWarningUs = 200_000
const fdatasyncNoticeUs = 100_000
/** Of a node's operations. */
const errorShareWarning = 0.01
/** As in `kv status`, and as the alert has it. */
const certificateNoticeMs = 2_592_000_000
const certificateWarningMs = 1_209_600_000
/** A handful of failures says nothing. */
const errorsPerSecondMin = 0.5

type Rule = (id: string, node: NodeView, view: Observed) => Advice | undefined

const advise = (level: HealthLevel, subject: string, text: string, command: string = ''): Advice => {
  return { level, text, command, subject }
}

const readOnly: Rule = (id, { storage }) => {
  if (storage?.readOnly !== true) return undefined
  return advise('critical', id, `${id} takes no writes: its disk is full. Give it room; it goes on by itself.`)
}

const lostSlots: Rule = (id, { storage }) => {
  if (storage === undefined || storage.lostSlots === 0) return undefined
  const lost = `${id} has lost ${counted(storage.lostSlots, 'slot')} to a damaged or empty disk`
  const { refillObstacle } = storage
  if (refillObstacle === '') return advise('notice', id, `${lost}, and refills them from the others.`)
  return advise('warning', id, `${lost}, and the refill does not get on: ${refillObstacle}.`)
}

const silent: Rule = (id, { member, telling }) => {
  if (member.liveness !== 'alive' || telling.ok) return undefined
  return advise('notice', id, `${id} is alive and does not tell its figures: ${telling.obstacle}.`)
}

const clock: Rule = (id, { process }) => {
  const offMs = process?.clockOffsetMs ?? 0
  if (Math.abs(offMs) < clockNoticeMs) return undefined
  const way = offMs > 0 ? 'ahead of' : 'behind'
  const level = Math.abs(offMs) < clockWarningMs ? 'notice' : 'warning'
  return advise(
    level,
    id,
    `The clock of ${id} is ${clockText(Math.abs(offMs))} ${way} the others'. See to its time service.`,
  )
}

function clockText(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`
}

const loopDelay: Rule = (id, { process }) => {
  const p99 = process?.loopDelay.p99 ?? 0
  if (p99 < loopDelayWarningUs) return undefined
  const text = `${id} is late with everything: its event loop waits ${Math.round(p99 / 1_000)} ms (p99). It lacks processor time or memory.`
  return advise('warning', id, text)
}

const slowDisk: Rule = (id, { storage }) => {
  const p99 = storage?.fdatasync.p99 ?? 0
  if (p99 < fdatasyncNoticeUs) return undefined
  return advise(
    'notice',
    id,
    `The disk of ${id} is slow: one fdatasync in a hundred takes ${Math.round(p99 / 1_000)} ms or more.`,
  )
}

const errors: Rule = (id, { load }) => {
  if (load === undefined) return undefined
  let [rate, failed] = [0, 0]
  for (const kind of Object.values(load.coordinator)) {
    rate += kind.rate
    failed += kind.errors
  }
  if (failed < errorsPerSecondMin || failed < rate * errorShareWarning) return undefined
  const codes = Object.entries(load.codes).sort(([, a], [, b]) => b - a)
  const why =
    codes.length === 0
      ? ''
      : ` (${listText(
          codes.map(([code]) => code),
          3,
        )})`
  const share = Math.max(1, Math.round((100 * failed) / Math.max(rate, failed)))
  return advise('warning', id, `${share} % of the operations that clients ask of ${id} fail${why}.`)
}

const draining: Rule = (id, { process }) => {
  if (process?.draining !== true) return undefined
  return advise('notice', id, `${id} is drained: it takes no requests of clients until it is started again.`)
}

const certificate: Rule = (id, { process }, { atMs }) => {
  if (process === undefined) return undefined
  const { certificateToMs: toMs, certificateProblem: problem } = process
  const leftMs = toMs - atMs
  const notUsed = problem === '' ? '' : ` A new one is there and not used: ${problem}.`
  if (toMs !== 0 && leftMs < 0) {
    return advise('critical', id, `A certificate of ${id} has expired: new connections are refused.${notUsed}`)
  }
  if (toMs !== 0 && leftMs < certificateNoticeMs) {
    const level = leftMs < certificateWarningMs ? 'warning' : 'notice'
    return advise(level, id, `A certificate of ${id} expires in ${durationText(leftMs)}. Replace it.${notUsed}`)
  }
  return notUsed === '' ? undefined : advise('warning', id, `The certificate of ${id} was replaced.${notUsed}`)
}

const rules: readonly Rule[] = [readOnly, lostSlots, silent, clock, loopDelay, slowDisk, errors, draining, certificate]

/** What concerns the cluster rather than a member. */
function aboutCluster(view: Observed): Advice[] {
  const found = [hintsWaiting(view), differing(view), handover(view), releases(view), tooFew(view)]
  return found.filter((advice) => advice !== undefined)
}

function sum(view: Observed, of: (node: NodeView) => number): number {
  return Object.values(view.nodes).reduce((total, node) => total + of(node), 0)
}

function hintsWaiting(view: Observed): Advice | undefined {
  const waiting = sum(view, ({ repair, telling }) => (telling.ok ? (repair?.hintsWaiting ?? 0) : 0))
  if (waiting === 0) return undefined
  return advise(
    'notice',
    '',
    `${counted(waiting, 'write')} that a member has missed ${waiting === 1 ? 'waits' : 'wait'} to be handed over.`,
  )
}

function differing(view: Observed): Advice | undefined {
  const slots = sum(view, ({ repair, telling }) => (telling.ok ? (repair?.differingSlots ?? 0) : 0))
  if (slots === 0) return undefined
  const text = `Copies of ${counted(slots, 'slot')} differ (counted at each owner) and are being made equal.`
  return advise('notice', '', text, 'kv repair')
}

function handover({ handover: running }: Observed): Advice | undefined {
  if (running === null) return undefined
  const [done, all] = running.reports.reduce(([a, b], report) => [a + report.done, b + report.slots], [0, 0])
  const far = all === 0 ? '' : `: ${done.toLocaleString('en-US')} of ${counted(all, 'slot')} are there`
  const stuck = running.reports.find(({ obstacle }) => obstacle !== '')
  const head = `Slots move (${running.purpose})${far}`
  if (stuck === undefined) return advise('notice', '', `${head}.`)
  return advise('warning', stuck.id, `${head}; ${stuck.id} does not get on: ${stuck.obstacle}.`)
}

function releases(view: Observed): Advice | undefined {
  const counts = new Map<string, number>()
  for (const { process, telling } of Object.values(view.nodes)) {
    if (process !== undefined && telling.ok) counts.set(process.version, (counts.get(process.version) ?? 0) + 1)
  }
  if (counts.size < 2) return undefined
  const each = [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([version, count]) => `${version} on ${counted(count, 'node')}`)
  return advise('notice', '', `Releases are mixed: ${listText(each)}. Bring all to the newest.`)
}

function tooFew({ nodes, cluster }: Observed): Advice | undefined {
  const count = Object.keys(nodes).length
  const missing = cluster.replicationFactor - count
  if (missing <= 0) return undefined
  const text = `With ${counted(count, 'node')} no key has ${cluster.replicationFactor} copies. Start ${missing} more with --peers.`
  return advise(count < 2 ? 'notice' : 'warning', '', text)
}

/** Everything that deserves attention besides who is away. */
export function adviceAbout(view: Observed): Advice[] {
  const found = aboutCluster(view)
  for (const [id, node] of Object.entries(view.nodes)) {
    // What somebody who does not answer has told last says nothing about now.
    const heard = node.telling.ok ? rules : [silent]
    for (const rule of heard) {
      const advice = rule(id, node, view)
      if (advice !== undefined) found.push(advice)
    }
  }
  return found
}
