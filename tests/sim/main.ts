import { parseArgs } from 'node:util'
import { type CrewOptions, failureOf, faultsOf, type Played, playInThread } from './crew.js'
import { findMutants, huntSeedsMax, mutantTable, needsChanges } from './mutants/hunt.js'
import type { RunReport } from './play/run.js'

const usage = `npm run sim -- [seed …] [options]

Plays whole clusters in virtual time: each seed draws its own cluster, load and faults, and what clients were told is checked.

  --seeds N        fresh seeds, one after the other (default: 1, where no seed is named)
  --from N         the first of them (default: drawn from the time of day)
  --minutes M      as many seeds as fit into so many minutes
  --jobs N         so many seeds side by side (default 2)
  --trace          writes the whole play of each seed: events, faults, logs
  --twice          plays each seed twice, and compares the two
  --changes        members join, leave, die for good, are replaced, reweighted and moved meanwhile
  --no-atlas       damages any disk as it comes, and checks only that nothing is told which nobody wrote
  --mutant NAME    plants a known bug, see --mutants; the first violation ends the run
  --mutants        lists the bugs that can be planted, and the seeds that have found them
  --find-mutants [NAME …]  finds such seeds anew, with fresh seeds, and writes tests/sim/mutants/seeds.ts
                   --seeds: at most so many for each (default 500)
`

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string' },
    from: { type: 'string' },
    minutes: { type: 'string' },
    jobs: { type: 'string', default: '2' },
    trace: { type: 'boolean', default: false },
    twice: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    'find-mutants': { type: 'boolean', default: false },
    'no-atlas': { type: 'boolean', default: false },
    changes: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

function number(name: string, value: string | undefined, otherwise: number): number {
  const parsed = value === undefined ? otherwise : Number(value)
  if (Number.isFinite(parsed) && parsed >= 0) return parsed
  process.stderr.write(`--${name}: not a number: ${value}\n${usage}`)
  process.exit(2)
}

function firstSeed(): number {
  return number('from', flags.from, Date.now() % 1_000_000_000)
}

/** The seeds to play, in order. */
function* seeds(): Generator<number> {
  if (positionals.length > 0) {
    for (const seed of positionals) yield number('seed', seed, 0)
    return
  }
  const first = firstSeed()
  const count = flags.minutes === undefined ? number('seeds', flags.seeds, 1) : Number.POSITIVE_INFINITY
  for (let i = 0; i < count; i++) yield first + i
}

/** What all runs together came to. */
class Totals {
  readonly #startedMs = performance.now()
  readonly #faults = new Map<string, number>()
  readonly #changes = new Map<string, number>()
  seeds = 0
  failed = 0
  #simulatedMs = 0
  #events = 0
  #calls = 0
  #acknowledged = 0
  #checked = 0

  add(report: RunReport, failed: boolean): void {
    this.seeds++
    if (failed) this.failed++
    this.#simulatedMs += report.simulatedMs
    this.#events += report.events
    this.#calls += report.calls
    this.#acknowledged += report.acknowledged
    this.#checked += report.checked
    for (const [kind, count] of Object.entries(report.faults))
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count)
    for (const [kind, count] of Object.entries(report.changes))
      this.#changes.set(kind, (this.#changes.get(kind) ?? 0) + count)
  }

  toString(): string {
    const minutes = (performance.now() - this.#startedMs) / 60_000
    const hours = this.#simulatedMs / 3_600_000
    const faults = [...this.#faults].sort(([a], [b]) => a.localeCompare(b)).map(([kind, count]) => `${kind} ${count}`)
    return [
      `${this.seeds} seeds, ${this.failed} failed; ${hours.toFixed(2)} simulated hours in ${minutes.toFixed(2)} minutes`,
      `  ${(this.seeds / minutes).toFixed(0)} seeds and ${(hours / minutes).toFixed(2)} simulated hours per minute`,
      `  ${this.#calls} calls, ${this.#acknowledged} acknowledged writes, ${this.#checked} operations checked for linearizability, ${this.#events} events`,
      `  faults: ${faults.join(', ')}`,
      `  changes: ${[...this.#changes].map(([kind, count]) => `${kind} ${count}`).join(', ')}`,
    ].join('\n')
  }
}

const totals = new Totals()
const started = performance.now()
const endMs =
  flags.minutes === undefined ? Number.POSITIVE_INFINITY : started + number('minutes', flags.minutes, 0) * 60_000
const queue = seeds()

const options: CrewOptions = {
  mutant: flags.mutant,
  trace: flags.trace,
  twice: flags.twice,
  atlas: !flags['no-atlas'],
  changes: flags.changes || (flags.mutant !== undefined && needsChanges(flags.mutant)),
}

function tell(played: Played): void {
  const { report } = played
  if (report !== undefined) totals.add(report, faultsOf(played).length > 0)
  else totals.failed++
  process.stdout.write(failureOf(played, options))
}

/** Plays seeds in one thread until none is left. */
function work(): Promise<void> {
  return playInThread(
    options,
    () => {
      const found = flags.mutant !== undefined && totals.failed > 0
      return performance.now() < endMs && !found ? queue.next().value : undefined
    },
    tell,
  )
}

if (flags.help) process.stdout.write(usage)
else if (flags.mutants) process.stdout.write(mutantTable())
else if (flags['find-mutants']) {
  const write = (line: string): boolean => process.stdout.write(`${line}\n`)
  const all = await findMutants(
    positionals,
    firstSeed(),
    number('seeds', flags.seeds, huntSeedsMax),
    number('jobs', flags.jobs, 2),
    write,
  )
  process.exitCode = all ? 0 : 1
} else {
  const jobs = flags.trace ? 1 : number('jobs', flags.jobs, 2)
  await Promise.all(Array.from({ length: jobs }, () => work()))
  process.stdout.write(`${totals.toString()}\n`)
  process.exitCode = totals.failed > 0 ? 1 : 0
}
