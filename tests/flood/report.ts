import type { Told } from './honest/job.js'
import { faults, type Observation } from './verdict.js'

const mib = 1_048_576
const toldMost = 4

function ms(value: number | undefined): string {
  return value === undefined ? '–' : value.toFixed(1)
}

const latency = ({ work }: Told): string => `${ms(work.p50Ms)}/${ms(work.p99Ms)}`
const size = (bytes: number): string => String(Math.round(bytes / mib))
const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

function row(seen: Observation): string[] {
  const { outcome, rss, before, during, after } = seen
  const told = Object.entries(outcome.told).sort(([, a], [, b]) => b - a)
  const linked = seen.linkedMs === undefined ? [] : [`a node that started was linked after ${ms(seen.linkedMs)} ms`]
  return [
    seen.attack,
    outcome.sent.toLocaleString('en'),
    outcome.seconds.toFixed(1),
    `${size(rss.before)}/${size(rss.highest)}/${size(rss.after)}`,
    [before, during, after].map(latency).join('  '),
    `${sum(during.work.failed)}/${sum(during.newcomers.failed)}/${sum(during.pages.failed)}`,
    String(Math.round((100 * seen.cpuSeconds) / Math.max(outcome.seconds, 0.01))),
    String(seen.lines),
    [...told.slice(0, toldMost).map(([what, times]) => `${times.toLocaleString('en')} × ${what}`), ...linked].join(
      ', ',
    ),
  ]
}

const head = [
  'attack',
  'sent',
  's',
  'RSS MiB before/most/after',
  'honest p50/p99 ms before, during, after',
  'failed',
  'CPU %',
  'log',
  'the attackers were told',
]

/**
 * The report for people. `failed`: of honest operations, of those who came meanwhile, and of pages over HTTP, while the attack
 * lasted.
 */
export function reportText(all: readonly Observation[]): string {
  const rows = [head, ...all.map(row)]
  const widths = head.map((_, i) => Math.max(...rows.map((each) => each[i]!.length)))
  const lines = rows.map((each) =>
    each
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

/** The same for programs: one object, with everything that was seen. */
export function reportJson(all: readonly Observation[]): string {
  return `${JSON.stringify({ attacks: all.map((seen) => ({ ...seen, faults: faults(seen) })) }, undefined, 1)}\n`
}
