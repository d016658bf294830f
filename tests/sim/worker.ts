import { register } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { parentPort, workerData } from 'node:worker_threads'
import type { CrewOptions } from './crew.js'
import { mutants, mutantsElsewhere } from './mutants/mutants.js'

/** Plays the seeds that it is sent, one at a time, and answers each with what came of it; undefined ends it. */

const { mutant: name, trace = false, twice = false, atlas = true, changes = false } = workerData as CrewOptions
if (name !== undefined) {
  const mutant = [...mutants, ...mutantsElsewhere].find((each) => each.name === name)
  if (mutant === undefined) throw new Error(`there is no mutant ${name}`)
  register('./mutants/loader.js', { parentURL: import.meta.url, data: mutant })
}
// A play runs a whole store for seconds only: compiling all of it for speed, and again with each new branch, took a quarter
// of the processor's time of 40 plays. So the quick compiler comes at once, and the thorough one later.
setFlagsFromString('--always-sparkplug')
setFlagsFromString('--interrupt-budget=1000000')
// Only now: what it imports may be mutated.
const { runSeed } = await import('./play/run.js')

// Errors are values here, made by the thousand, and nobody looks at where: that is what --trace is for.
if (!trace) Error.stackTraceLimit = 0

function write(line: string): void {
  process.stdout.write(`${line}\n`)
}

const traced = trace
  ? {
      observe: ({
        timeMs,
        kind,
        owner,
        detail,
      }: {
        timeMs: number
        kind: string
        owner: string
        detail: number
      }): void => write(`${timeMs.toFixed(3).padStart(12)} ${owner.padEnd(8)} ${kind} ${detail === 0 ? '' : detail}`),
      tell: (timeMs: number, who: string, what: string): void =>
        write(`${timeMs.toFixed(3).padStart(12)} ${who.padEnd(8)} ${what}`),
    }
  : {}

parentPort!.on('message', (seed: number | undefined) => {
  if (seed === undefined) {
    parentPort!.close()
    return
  }
  const play = async (): Promise<object> => {
    const report = await runSeed(seed, { ...traced, atlas, changes, once: name !== undefined })
    return twice ? { seed, report, again: await runSeed(seed, { atlas, changes }) } : { seed, report }
  }
  play().then(
    (played) => parentPort!.postMessage(played),
    (error: unknown) => parentPort!.postMessage({ seed, error: error instanceof Error ? error.stack : String(error) }),
  )
})
