import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { RunReport } from './play/run.js'

/** What came of one seed. */
export interface Played {
  readonly seed: number
  /** Undefined: the play itself broke, see `error`. */
  readonly report?: RunReport
  /** Of the second time, where it was wanted. */
  readonly again?: RunReport
  readonly error?: string
}

export interface CrewOptions {
  /** A known bug to be planted; see `mutants`. */
  readonly mutant?: string | undefined
  /** Writes everything that happens to stdout. */
  readonly trace?: boolean
  /** Plays each seed twice. */
  readonly twice?: boolean
  /** false: disks are damaged beyond what the cluster can mend; see `Scenario.atlas`. */
  readonly atlas?: boolean
  /** Members come, go and change meanwhile. */
  readonly changes?: boolean
}

/** A run makes much that dies soon; with room for it, less of the time goes into its collection. */
const youngGenerationMb = 64

/** What is wrong with a run, a line each; nothing: all was well. */
export function faultsOf({ report, again, error }: Played): string[] {
  const found = [...(report?.violations ?? []), ...(error === undefined ? [] : [`the play broke: ${error}`])]
  if (again !== undefined && again.hash !== report?.hash) {
    found.push(`played twice, it went two ways: ${report?.hash} and ${again.hash}`)
  }
  return found
}

function commit(): string {
  try {
    const cwd = fileURLToPath(new URL('.', import.meta.url))
    return execFileSync('git', ['describe', '--always', '--dirty'], { cwd, encoding: 'utf8' }).trim()
  } catch (error) {
    return `unknown commit (${String(error).split('\n', 1)[0]})`
  }
}

const faultsToldMax = 10

/** What to print of a run that failed; empty: it did not. Seed, commit, faults, last events, and how to see it again. */
export function failureOf(played: Played, { mutant, atlas = true, changes = false }: CrewOptions = {}): string {
  const faults = faultsOf(played)
  if (faults.length === 0) return ''
  const { seed, report } = played
  const flags = `${mutant === undefined ? '' : ` --mutant ${mutant}`}${atlas ? '' : ' --no-atlas'}${changes ? ' --changes' : ''}`
  return [
    `seed ${seed} FAILED (${commit()}), ${faults.length} faults`,
    ...faults.slice(0, faultsToldMax).map((fault) => `  ${fault}`),
    ...(report === undefined ? [] : ['  last events:', ...report.lastEvents.map((line) => `    ${line}`)]),
    `  to see it again: npm run sim -- ${seed} --trace${flags}`,
    '',
  ].join('\n')
}

/**
 * Plays seeds in a thread of its own, one after the other: `next` gives the next one, or undefined for the end, and `done`
 * takes what came of it. What is planted there stays there. Runs on the built code only.
 */
export function playInThread(
  options: CrewOptions,
  next: () => number | undefined,
  done: (played: Played) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(workerUrl, {
      workerData: options,
      resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
    })
    worker.on('message', (played: Played) => {
      done(played)
      worker.postMessage(next())
    })
    worker.on('error', reject)
    worker.on('exit', () => resolve())
    worker.postMessage(next())
  })
}

/** Tests run on the sources, and threads on what was built. */
const workerUrl = import.meta.url.endsWith('.ts')
  ? new URL('../dist/sim/worker.js', import.meta.url)
  : new URL('./worker.js', import.meta.url)
