import type { Outcome } from './attacks/field.js'
import type { Told } from './honest/job.js'
import type { Holdings } from './watch.js'

const mib = 1_048_576

/**
 * What a process may grow by besides what it holds on purpose: V8 lets garbage pile up to a multiple of what is alive, buffers
 * go with the objects that own them, and the allocator keeps what it was given back.
 */
export const slackBytes: number = 256 * mib
/** What is logged for an attack, whatever its size: so much at once, and so much in a second. */
const linesAtOnce = 100
const linesPerSecond = 50

/** Of those who come while an attack lasts for so long, somebody must have been served. */
const newcomerSeconds = 5

/** What was seen of one attack. */
export interface Observation {
  readonly attack: string
  readonly outcome: Outcome
  /** How long a node that was started meanwhile took to be linked with all others. Undefined: none was. */
  readonly linkedMs?: number | undefined
  /** Why the node ended; undefined: it lives. */
  readonly death?: string | undefined
  readonly rss: { readonly before: number; readonly highest: number; readonly after: number }
  /** `mayHoldBytes` of the attack. */
  readonly mayHoldBytes: number
  readonly before: Told
  readonly during: Told
  readonly after: Told
  readonly holdings: { readonly before: Holdings; readonly after: Holdings }
  readonly lines: number
  /** Processor seconds that the node has used meanwhile. */
  readonly cpuSeconds: number
}

/** What is left of an attack: which of the holdings are more than before. */
export function leftovers(before: Holdings, after: Holdings): string[] {
  const names = Object.keys(before) as (keyof Holdings)[]
  return names.filter((name) => after[name] > before[name]).map((name) => `${name}: ${before[name]} → ${after[name]}`)
}

function failures(what: string, failed: Readonly<Record<string, number>>): string[] {
  const wrong = Object.entries(failed).filter(([code]) => code !== 'overloaded')
  return wrong.map(([code, count]) => `${count} × ${what} failed with ${code}`)
}

/** What is wrong; empty: nothing. Times are not judged: they say as much about the machine. */
export function faults(seen: Observation): string[] {
  if (seen.death !== undefined) return [`the node is dead: ${seen.death}`]
  const found: string[] = []
  const most = seen.rss.before + seen.mayHoldBytes + slackBytes
  if (seen.rss.highest > most) {
    found.push(`it had ${Math.round(seen.rss.highest / mib)} MiB of memory, more than ${Math.round(most / mib)}`)
  }
  // During an attack nothing may end for a while; what does not end at all fails.
  if (seen.after.work.done === 0) found.push('no honest operation was done afterwards')
  for (const told of [seen.before, seen.during, seen.after]) {
    found.push(...failures('honest operation', told.work.failed))
    found.push(...failures('newcomer', told.newcomers.failed))
  }
  const { newcomers } = seen.during
  if (seen.outcome.seconds >= newcomerSeconds && newcomers.done === 0 && Object.keys(newcomers.failed).length === 0) {
    found.push('nobody who came while it lasted was served')
  }
  // While an attack lasts, all connections of the door of HTTP may be taken: that is told, and it must be over with it.
  found.push(...failures('page', seen.after.pages.failed))
  found.push(...leftovers(seen.holdings.before, seen.holdings.after))
  const linesMax = linesAtOnce + linesPerSecond * seen.outcome.seconds
  if (seen.lines > linesMax) found.push(`it wrote ${seen.lines} lines into its log`)
  return found
}
