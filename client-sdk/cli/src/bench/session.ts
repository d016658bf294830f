import { randomInt } from 'node:crypto'
import { limits } from '../limits.js'
import { type LoadClock, systemClock } from './clock.js'
import { runClosedLoop } from './closed-loop.js'
import type { DistributionName } from './distribution.js'
import { ErrorTally } from './error-tally.js'
import { KeySpace } from './key-space.js'
import type { LaneContext } from './lane.js'
import { type OpenLoopResult, runOpenLoop } from './open-loop.js'
import { LoadRandom } from './random.js'
import { Recorder } from './recorder.js'
import { errorSummary, type PhaseReport, summaries } from './report.js'
import { checkData, checkPhase, type DataSettings, type PhaseSettings } from './settings.js'
import type { Target, TargetClient } from './target.js'
import { ownUsage, type Usage, usageBetween } from './usage.js'
import { KeyNames, Values } from './values.js'
import { Verifier } from './verifier.js'
import { LoadSource, type OperationSource, WorkloadSource } from './workload.js'

/** How far a phase has come, for people who wait. The fields change while it runs. */
export interface LivePhase {
  readonly name: string
  readonly warmingUp: boolean
  /** Milliseconds that it has run, and that it will; undefined: until all is done. */
  readonly elapsedMs: number
  readonly durationMs: number | undefined
  readonly operations: number
  /** That it will have; undefined: nobody knows. */
  readonly operationsTotal: number | undefined
  readonly errors: number
}

export interface SessionHooks {
  /** Ends what runs early, with a report of what was measured until then. */
  readonly signal: AbortSignal
  readonly clock?: LoadClock | undefined
  /** Called when a phase begins; what it returns is called when it has ended. */
  readonly onPhase?: ((live: LivePhase) => () => void) | undefined
}

interface Stretch {
  readonly source: OperationSource
  readonly keys: KeySpace
  readonly inFlight: number
  readonly loop: PhaseSettings['loop']
  readonly durationMs: number
  readonly seed: string
}

interface Measured {
  readonly recorder: Recorder
  readonly service: Recorder | undefined
  readonly seconds: number
  readonly open: OpenLoopResult | undefined
}

/** From this size the generator's own work on a value would be seen in the latency of the operation that follows. */
const largeValueBytes = 4096

/**
 * A target with its clients, and what this run has written to it. Phases run one after the other on the same keys, so
 * that they can be alternated, repeated and compared.
 */
export class BenchSession implements AsyncDisposable {
  readonly #target: Target
  readonly #data: DataSettings
  readonly #hooks: SessionHooks
  readonly #clock: LoadClock
  readonly #clients: TargetClient[] = []
  readonly #names = new KeyNames()
  readonly #verifier: Verifier
  readonly #stop: AbortSignal
  #live: { -readonly [K in keyof LivePhase]: LivePhase[K] } | undefined
  #phases = 0
  #canScan = false

  private constructor(target: Target, data: DataSettings, hooks: SessionHooks) {
    this.#target = target
    this.#data = data
    this.#hooks = hooks
    this.#clock = hooks.clock ?? systemClock
    const values = new Values(data.valueBytes, data.seed, randomInt(2 ** 32))
    this.#verifier = new Verifier(values, data.keys, target.reads === 'fresh', data.verify)
    this.#stop = target.failed === undefined ? hooks.signal : AbortSignal.any([hooks.signal, target.failed])
  }

  /**
   * Connects the clients. Throws a UsageError where the settings are wrong, the target's own error where it cannot be
   * reached, and the reason of the signal.
   */
  static async open(target: Target, data: DataSettings, hooks: SessionHooks): Promise<BenchSession> {
    checkData(data)
    const session = new BenchSession(target, data, hooks)
    try {
      while (session.#clients.length < data.clients) session.#clients.push(await target.connect(session.#stop))
    } catch (error) {
      await session.close()
      throw error
    }
    return session
  }

  /** Writes every key once. Rejects where not all could be written in time, unless interrupted; failures are in the report. */
  async load(): Promise<PhaseReport> {
    const { keys, valueBytes, seed, clients } = this.#data
    const fitting = Math.max(1, Math.floor(limits.benchLoadBytesMax / valueBytes))
    const inFlight = Math.max(1, Math.floor(Math.min(limits.benchLoadInFlight, fitting) / clients))
    const loop = { kind: 'closed' } as const
    const stretch: Stretch = {
      ...{ source: new LoadSource(keys), keys: new KeySpace(keys), inFlight, loop, seed },
      durationMs: limits.benchLoadMs,
    }
    const errors = new ErrorTally()
    return await this.#watched('load', async () => {
      const before = await this.#usage()
      this.#begin({ durationMs: undefined, operationsTotal: keys })
      const measured = await this.#run(stretch, errors)
      const usage = usageBetween(before, await this.#usage())
      const settings = { mix: { update: 1 }, distribution: 'sequential', loop, inFlight, warmUpSeconds: 0 } as const
      return this.#report('load', settings, measured, errors, 0, usage)
    })
  }

  /** Runs one workload: warm-up, then the measurement. Throws a UsageError where the settings are wrong or the target cannot scan. */
  async measure(phase: PhaseSettings): Promise<PhaseReport> {
    const { workload, inFlight, loop, warmUpMs, durationMs } = phase
    checkPhase(phase, this.#data.clients)
    const distribution: DistributionName = phase.distribution ?? workload.distribution
    if ((workload.mix.scan ?? 0) > 0) await this.#prepareScans()
    // The same phase twice in a session shall do the same kind of thing, and not the very same operations.
    const seed = `${this.#data.seed}/${workload.name}/${this.#phases++}`
    const keys = new KeySpace(this.#data.keys)
    const source = new WorkloadSource(workload.mix, distribution, keys, seed)
    const stretch: Stretch = { source, keys, inFlight, loop, durationMs, seed }
    const errors = new ErrorTally(phase.errorsMax)
    const staleBefore = this.#verifier.staleReads
    return await this.#watched(workload.name, async () => {
      if (warmUpMs > 0) {
        this.#begin({ durationMs: warmUpMs, warmingUp: true })
        await this.#run({ ...stretch, durationMs: warmUpMs }, errors)
      }
      const before = await this.#usage()
      this.#begin({ durationMs })
      const measured = await this.#run(stretch, errors)
      const usage = usageBetween(before, await this.#usage())
      const settings = { mix: workload.mix, distribution, loop, inFlight, warmUpSeconds: warmUpMs / 1000 }
      return this.#report(workload.name, settings, measured, errors, this.#verifier.staleReads - staleBefore, usage)
    })
  }

  /** Ends the connections. Idempotent. */
  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #prepareScans(): Promise<void> {
    if (this.#canScan) return
    for (const client of this.#clients) {
      if (client.scan === undefined) throw new UnsupportedError(`${this.#target.name} cannot scan`)
      await client.prepareScans?.(this.#stop)
    }
    this.#canScan = true
  }

  async #usage(): Promise<Usage> {
    const servers = (await this.#target.serverUsage?.()) ?? []
    return { client: ownUsage(), servers }
  }

  async #watched(name: string, work: () => Promise<PhaseReport>): Promise<PhaseReport> {
    const live = {
      name,
      warmingUp: false,
      elapsedMs: 0,
      durationMs: undefined,
      operations: 0,
      operationsTotal: undefined,
    }
    this.#live = { ...live, errors: 0 }
    const ended = this.#hooks.onPhase?.(this.#live)
    try {
      return await work()
    } finally {
      ended?.()
      // Before whatever else went wrong for that reason: that nobody can tell what a server used that has ended, say.
      this.#target.failed?.throwIfAborted()
    }
  }

  #begin(stretch: Partial<LivePhase>): void {
    Object.assign(this.#live!, { warmingUp: false, elapsedMs: 0, operations: 0 }, stretch)
  }

  async #run(stretch: Stretch, errors: ErrorTally): Promise<Measured> {
    const { source, keys, inFlight, loop, durationMs, seed } = stretch
    const [clock, live] = [this.#clock, this.#live!]
    const startMs = clock.now()
    // Those of the warm-up are in no interval of the measurement.
    const errorsBefore = errors.count
    const recorder = new Recorder(startMs)
    const service = loop.kind === 'open' ? new Recorder(startMs) : undefined
    const shared: Omit<LaneContext, 'nextDue'> = {
      ...{ source, keys, recorder, service, errors, clock },
      ...{ verifier: this.#verifier, names: this.#names, twoReadings: this.#data.valueBytes >= largeValueBytes },
    }
    const show = (): void => {
      live.elapsedMs = clock.now() - startMs
      live.operations = recorder.operations
      live.errors = errors.count
    }
    const roll = (nowMs: number): void => {
      recorder.roll(nowMs, errors.count - errorsBefore)
      service?.roll(nowMs, errors.count - errorsBefore)
    }
    const stopRolling = clock.every(intervalMs(durationMs), () => roll(clock.now()))
    const stopShowing = clock.every(limits.progressTerminalMs, show)
    const end = { deadlineMs: startMs + durationMs, signal: this.#stop }
    try {
      let open: OpenLoopResult | undefined
      let endedMs: number
      if (loop.kind === 'open') {
        const random = new LoadRandom(`${seed}/arrivals`)
        open = await runOpenLoop(this.#clients, { ...loop, inFlight }, random, shared, end)
        endedMs = open.endedMs
      } else {
        endedMs = await runClosedLoop(this.#clients, inFlight, shared, end)
      }
      roll(endedMs)
      return { recorder, service, seconds: (endedMs - startMs) / 1000, open }
    } finally {
      stopRolling()
      stopShowing()
    }
  }

  #report(
    name: string,
    settings: Pick<PhaseReport, 'mix' | 'distribution' | 'loop' | 'inFlight' | 'warmUpSeconds'>,
    { recorder, service, seconds, open }: Measured,
    errors: ErrorTally,
    staleReads: number,
    usage: Usage,
  ): PhaseReport {
    const { operations, intervals } = recorder
    const opsPerSecond = seconds > 0 ? operations / seconds : 0
    const base = { name, ...settings, clients: this.#data.clients, seconds, operations, opsPerSecond }
    const latency = summaries(recorder, seconds)
    const report = { ...base, latency, errors: errorSummary(errors), staleReads, intervals, usage }
    if (open === undefined || service === undefined) return report
    const { due, notStarted, backlogMost } = open
    return { ...report, open: { due, notStarted, backlogMost, service: summaries(service, seconds) } }
  }
}

/** The target cannot do what a workload wants. */
export class UnsupportedError extends Error {
  override readonly name = 'UnsupportedError'
}

/** Of a second, but at least ten of a phase and at most `limits.benchIntervalsMax`. */
function intervalMs(durationMs: number): number {
  return Math.max(durationMs / limits.benchIntervalsMax, Math.min(limits.benchIntervalMs, durationMs / 10))
}
