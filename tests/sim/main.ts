import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { mutants } from './mutants/mutants.js'
import type { RunReport } from './play/run.js'

const usage = `npm run sim -- [seed …] [options]

Plays whole clusters in virtual time: each seed draws its own cluster, load and faults, and what clients were told is checked.

  --seeds N        fresh seeds, one after the other (default: 1, where no seed is named)
  --from N         the first of them (default: drawn from the time of day)
  --minutes M      as many seeds as fit into so many minutes
  --jobs N         so many seeds side by side (default 2)
  --trace          writes the whole play of each seed: events, faults, logs
  --twice          plays each seed twice, and compares the two
  --mutant NAME    plants a known bug, see --mutants; the first violation ends the run
  --mutants        lists the bugs that can be planted
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
    help: { type: 'boolean', default: false },
  },
})

function number(name: string, value: string | undefined, otherwise: number): number {
  const parsed = value === undefined ? otherwise : Number(value)
  if (Number.isFinite(parsed) && parsed >= 0) return parsed
  process.stderr.write(`--${name}: not a number: ${value}\n${usage}`)
  process.exit(2)
}

/** The seeds to play, in order. */
function* seeds(): Generator<number> {
  if (positionals.length > 0) {
    for (const seed of positionals) yield number('seed', seed, 0)
    return
  }
  const first = number('from', flags.from, Date.now() % 1_000_000_000)
  const count = flags.minutes === undefined ? number('seeds', flags.seeds, 1) : Number.POSITIVE_INFINITY
  for (let i = 0; i < count; i++) yield first + i
}

/** What all runs together came to. */
class Totals {
  readonly #startedMs = performance.now()
  readonly #faults = new Map<string, number>()
  seeds = 0
  failed = 0
  #simulatedMs = 0
  #events = 0
  #calls = 0
  #acknowledged = 0
  #checked = 0

  add(report: RunReport): void {
    this.seeds++
    if (report.violations.length > 0) this.failed++
    this.#simulatedMs += report.simulatedMs
    this.#events += report.events
    this.#calls += report.calls
    this.#acknowledged += report.acknowledged
    this.#checked += report.checked
    for (const [kind, count] of Object.entries(report.faults))
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count)
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
    ].join('\n')
  }
}

interface Played {
  readonly seed: number
  readonly report?: RunReport
  readonly again?: RunReport
  readonly error?: string
}

/** A run makes much that dies soon: with room for it, its collection takes 4 % of the time instead of 16 %. */
const youngGenerationMb = 96

const totals = new Totals()
const started = performance.now()
const endMs =
  flags.minutes === undefined ? Number.POSITIVE_INFINITY : started + number('minutes', flags.minutes, 0) * 60_000
const queue = seeds()

function commit(): string {
  const root = fileURLToPath(new URL('.', import.meta.url))
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { cwd: root, encoding: 'utf8' }).trim()
  } catch (error) {
    return `unknown commit (${String(error).split('\n', 1)[0]})`
  }
}

function tell({ seed, report, again, error }: Played): void {
  const violations = [...(report?.violations ?? []), ...(error === undefined ? [] : [error])]
  if (again !== undefined && again.hash !== report?.hash) {
    violations.push(`played twice, it went two ways: ${report?.hash} and ${again.hash}`)
  }
  if (report !== undefined) totals.add({ ...report, violations })
  else totals.failed++
  if (violations.length === 0) return
  process.stdout.write(`seed ${seed} FAILED (${commit()}), ${violations.length} violations\n`)
  for (const violation of violations.slice(0, 10)) process.stdout.write(`  ${violation}\n`)
  if (report !== undefined)
    process.stdout.write(`  last events:\n${report.lastEvents.map((line) => `    ${line}\n`).join('')}`)
  process.stdout.write(
    `  to see it again: npm run sim -- ${seed} --trace${flags.mutant === undefined ? '' : ` --mutant ${flags.mutant}`}\n`,
  )
}

/** Gives one worker a seed after the other. */
function work(): Promise<void> {
  return new Promise((resolve, reject) => {
    const { mutant, trace, twice } = flags
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: { mutant, trace, twice },
      resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
    })
    const next = (): void => {
      const found = mutant !== undefined && totals.failed > 0
      const { value: seed, done } = performance.now() < endMs && !found ? queue.next() : { value: 0, done: true }
      worker.postMessage(done === true ? undefined : seed)
    }
    worker.on('message', (played: Played) => {
      tell(played)
      next()
    })
    worker.on('error', reject)
    worker.on('exit', () => resolve())
    next()
  })
}

if (flags.help) process.stdout.write(usage)
else if (flags.mutants) {
  for (const { name, hazard } of mutants) process.stdout.write(`${name.padEnd(28)} ${hazard}\n`)
} else {
  const jobs = flags.trace ? 1 : number('jobs', flags.jobs, 2)
  await Promise.all(Array.from({ length: jobs }, () => work()))
  process.stdout.write(`${totals.toString()}\n`)
  process.exitCode = totals.failed > 0 ? 1 : 0
}
