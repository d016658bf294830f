import { limits } from '../limits.js'
import { readEnvironment } from './environment.js'
import type { BenchReport, PhaseReport } from './report.js'
import { BenchSession, type SessionHooks } from './session.js'
import { checkData, checkPhase, type DataSettings, type PhaseSettings } from './settings.js'
import type { Target } from './target.js'
import { keyBytes } from './values.js'

/** A whole run: load, then the phases in order, all of them `runs` times. */
export interface BenchPlan {
  readonly data: DataSettings
  /** False: the keys are there, from an earlier run. */
  readonly load: boolean
  readonly phases: readonly PhaseSettings[]
  /** Phases are alternated, so that what changes on the machine meanwhile meets all of them alike. */
  readonly runs: number
}

/**
 * Loads the keys and runs the phases, up to the first that fails too often to go on, or until the signal; then the report
 * tells of what was measured. Rejects, before anything is sent, with a UsageError where the plan is wrong; otherwise
 * where the target cannot be reached, cannot do what a workload wants, or fails for good.
 */
export async function runBench(target: Target, plan: BenchPlan, hooks: SessionHooks): Promise<BenchReport> {
  const { data, phases, runs } = plan
  checkData(data)
  for (const phase of phases) checkPhase(phase, data.clients)
  const startedAt = new Date().toISOString()
  const environment = await readEnvironment()
  const settings = await target.describe(hooks.signal)
  const measured: PhaseReport[] = []
  await using session = await BenchSession.open(target, data, hooks)
  let usable = true
  if (plan.load) {
    const loaded = await session.load()
    measured.push(loaded)
    // Keys that are not there would be read as errors of the phases that follow.
    usable = loaded.operations === data.keys
  }
  const all = Array.from({ length: runs }, (_, i) => phases.map((phase) => ({ run: i + 1, phase }))).flat()
  for (const { run, phase } of all) {
    if (!usable || hooks.signal.aborted) break
    const report = await session.measure(phase)
    measured.push({ ...report, run })
    usable = report.errors.count < (phase.errorsMax ?? limits.benchErrorsMax)
  }
  const { keys, valueBytes, verify, seed } = data
  return {
    ...{ tool: 'kv bench', formatVersion: 1, startedAt, environment },
    target: { name: target.name, settings },
    data: { keys, keyBytes, valueBytes, verified: verify, seed },
    phases: measured,
    interrupted: hooks.signal.aborted,
    ok: measured.every(({ errors }) => errors.count === 0),
  }
}
