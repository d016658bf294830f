import { SimCluster } from '../sim/sim-cluster.js'
import { type Answer, fitsAnswer, shownAnswer, Versions } from './answers.js'
import { checkNow } from './checks.js'
import { ask, type Call } from './clients.js'
import { copyDisk, type DiskCopy, loseRecords, restoreDisk, tearLog, wipe } from './disks.js'
import type { Action, Asked, Check, ClusterSettings, Expectation, Play, Statement } from './language.js'
import { watchedNetwork } from './messages.js'
import { Transcript } from './transcript.js'

/** How long a play waits for what it says without a time: a start, a message, an answer. Virtual. */
const patienceMs = 60_000

/** How long lies between two questions of `eventually … get`. */
const askAgainMs = 100

/** What a statement that fails has found. */
class Mismatch extends Error {}

/** A play did not go as written. The message holds the line, what was expected and found, and the transcript. */
export class PlayFailure extends Error {
  override readonly name = 'PlayFailure'
  readonly line: number

  constructor(play: Play, { line, text }: Statement, seed: string, transcript: Transcript, cause: unknown) {
    const found = cause instanceof Mismatch ? cause.message : String(cause)
    super(
      `${play.file}:${line}: ${text}\n  ${found}\n  seed ${seed}\n\nWhat happened, in milliseconds:\n${transcript.text()}`,
      { cause },
    )
    this.line = line
  }
}

/** Performs a play. Throws PlayFailure where something else happens than it says. Returns the transcript. */
export async function perform(play: Play, seed: string): Promise<string> {
  const [first] = play.statements
  if (first?.action.kind !== 'cluster') throw new Error(`${play.file} has not been parsed`)
  const stage = new Stage(first.action.settings, first.action.settings.seed ?? `${play.file} ${seed}`)
  const { transcript } = stage
  let current = first
  try {
    await stage.open()
    for (const statement of play.statements.slice(1)) {
      current = statement
      transcript.note(`--- ${statement.line}: ${statement.text}`)
      await stage.perform(statement.action)
    }
    stage.close()
  } catch (error) {
    throw new PlayFailure(play, current, stage.seed, transcript, error)
  }
  return transcript.text()
}

class Stage {
  readonly transcript: Transcript
  readonly seed: string
  readonly #cluster: SimCluster
  readonly #versions = new Versions()
  readonly #begun = new Map<string, Call>()
  readonly #open = new Set<Call>()
  readonly #copies = new Map<string, DiskCopy>()
  readonly #said = new Map<string, string[]>()
  /** Ends of nodes that the play has spoken of. */
  readonly #known = new Set<string>()

  constructor(settings: ClusterSettings, seed: string) {
    const { nodes, replicationFactor, readQuorum, writeQuorum, maxClockDriftMs } = settings
    this.seed = seed
    this.#cluster = new SimCluster({
      seed,
      nodes,
      replication: { replicationFactor, readQuorum, writeQuorum },
      maxClockDriftMs,
      logOf: (name) => {
        const said: string[] = []
        this.#said.set(name, said)
        return this.transcript.logOf(name, (sentence) => said.push(sentence))
      },
      networkOf: (name, network) => watchedNetwork(network, name, this.transcript),
    })
    this.transcript = new Transcript(() => this.#cluster.world.nowMs)
    this.#cluster.onFatal = (name, error) => this.#fatal(name, error)
  }

  /** All nodes run, and see each other. */
  async open(): Promise<void> {
    for (const name of this.#cluster.names) await this.#cluster.startNode(name)
    await this.#cluster.allReady()
    await this.#cluster.allConnected()
    this.transcript.begin()
  }

  /** Nothing may have happened that the play is silent about. */
  close(): void {
    for (const name of this.#cluster.names) this.#expectEnd(name)
    for (const { message, from, to } of this.transcript.armed) {
      throw new Mismatch(`no ${message} went from ${from} to ${to} any more`)
    }
  }

  /** A node that had to end is one that the play has said so of. */
  #expectEnd(name: string): void {
    if (!this.#cluster.fatal.has(name) || this.#known.has(name)) return
    throw new Mismatch(`nobody expected that ${name} ended: ${this.#cluster.fatal.get(name)!.message}`)
  }

  async perform(action: Action): Promise<void> {
    switch (action.kind) {
      case 'cluster':
        throw new Error('a second cluster')
      case 'ask':
        return this.#expect(this.#ask(action.asked), action.expected)
      case 'begin':
        this.#begun.set(action.name, this.#ask(action.asked))
        return
      case 'outcome':
        return this.#expect(this.#begun.get(action.name)!, action.expected)
      case 'check':
        this.#check(action.check)
        return
      case 'eventually':
        return this.#eventually(action.check, action.withinMs)
      case 'eventually-ask':
        return this.#eventuallyAsk(action.asked, action.expected, action.withinMs)
      case 'after':
        return this.#cluster.world.advance(action.ms)
      case 'until': {
        const { pattern, arrived } = action
        const seen = this.transcript.watchFor(pattern, arrived)
        return this.#wait(seen, () => `no ${pattern.message} ${arrived ? 'arrived' : 'was sent'}`)
      }
      default:
        return this.#interfere(action)
    }
  }

  /** Faults of the network. */
  async #interfere(
    action: Extract<Action, { kind: 'partition' | 'cut' | 'heal' | 'delay' | 'intercept' }> | MachineAction,
  ): Promise<void> {
    const { network } = this.#cluster.world
    switch (action.kind) {
      case 'partition':
        return network.partition(action.groups)
      case 'cut':
        return network.cut(action.from, action.to)
      case 'heal':
        return network.heal()
      case 'delay':
        for (const name of this.#cluster.names) {
          if (action.from !== undefined && name !== action.from) continue
          network.setExtraDelayMs(name, action.to, action.ms)
          if (action.from === undefined) network.setExtraDelayMs(action.to, name, action.ms)
        }
        return
      case 'intercept': {
        const { from, to } = action.pattern
        this.transcript.setTrap(action.pattern, () => {
          if (action.how === 'hold') {
            network.cut(from, to)
            return 'send'
          }
          // A link that loses something breaks: that is all that a stream ever loses.
          network.cutLinks(from, to)
          return 'lose'
        })
        return
      }
      default:
        return this.#operate(action)
    }
  }

  /** What is done to one machine. */
  async #operate(action: MachineAction): Promise<void> {
    const { node } = action
    const cluster = this.#cluster
    switch (action.kind) {
      case 'kill':
        return this.#end(node, () => cluster.crash(node, { disk: 'keep', links: 'reset' }))
      case 'power': {
        const disk = action.tearing ? 'keep' : 'lose'
        this.#end(node, () => cluster.crash(node, { disk, links: 'silent' }))
        if (action.tearing && !(await tearLog(cluster, node))) throw new Mismatch(`${node} has written nothing yet`)
        return
      }
      case 'stop':
        await cluster.settle(cluster.node(node).stop(1_000))
        return this.#end(node, () => cluster.crash(node, { disk: 'keep', links: 'reset' }))
      case 'pause':
        return cluster.process(node).pause()
      case 'resume':
        return cluster.process(node).resume()
      case 'start':
        return this.#start(node, action.wait)
      case 'wipe':
      case 'lose-records':
      case 'copy-disk':
      case 'restore-disk':
        return this.#changeDisk(action.kind, node)
      case 'clock':
        return cluster.process(node).time.setSkewMs(action.skewMs)
      case 'drive':
        return this.#spoilDrive(node, action.fault)
      case 'drive-slow':
        return cluster.process(node).drive.faults.setExtraDelayMs(action.ms)
      default:
        return action satisfies never
    }
  }

  async #changeDisk(kind: 'wipe' | 'lose-records' | 'copy-disk' | 'restore-disk', node: string): Promise<void> {
    const cluster = this.#cluster
    if (cluster.process(node).running) throw new Mismatch(`${node} runs; its disk is in use`)
    if (kind === 'wipe') return wipe(cluster, node)
    if (kind === 'lose-records') return loseRecords(cluster, node)
    if (kind === 'copy-disk') return void this.#copies.set(node, await copyDisk(cluster, node))
    const copy = this.#copies.get(node)
    if (copy === undefined) throw new Mismatch(`nobody has copied the disk of ${node}`)
    return restoreDisk(cluster, node, copy)
  }

  #spoilDrive(node: string, fault: 'full' | 'room' | 'sync-fails'): void {
    const { faults } = this.#cluster.process(node).drive
    if (fault === 'sync-fails') faults.failNext('sync')
    else faults.setFreeBytes(fault === 'full' ? 0 : Number.MAX_SAFE_INTEGER)
  }

  async #start(node: string, wait: boolean): Promise<void> {
    if (this.#cluster.process(node).running) throw new Mismatch(`${node} runs already`)
    this.#expectEnd(node)
    this.#cluster.fatal.delete(node)
    this.#known.delete(node)
    this.#cluster.process(node).restart()
    const started = await this.#cluster.startNode(node)
    if (wait) await this.#cluster.world.settle(started.ready(), patienceMs)
  }

  /** The process ends; whoever has asked it loses the connection. */
  #end(node: string, crash: () => void): void {
    crash()
    for (const call of this.#open) {
      if (call.asked.node === node) call.giveUp('unavailable', `the connection to ${node} broke`)
    }
  }

  #fatal(name: string, error: Error): void {
    this.transcript.note(`${name} ENDS: ${String(error)}`)
    this.#cluster.fatal.set(name, error)
    this.#cluster.world.after(0, () => {
      if (this.#cluster.process(name).running) {
        this.#end(name, () => this.#cluster.crash(name, { disk: 'keep', links: 'reset' }))
      }
    })
  }

  #ask(asked: Asked): Call {
    const call = ask(this.#cluster, asked, (answered) => {
      this.#open.delete(answered)
      this.transcript.note(`${asked.client} is told: ${shownAnswer(answered.answer, this.#versions)}`)
    })
    if (call.answer.kind === 'pending') this.#open.add(call)
    return call
  }

  async #expect(call: Call, expected: Expectation): Promise<void> {
    if (expected.kind !== 'pending') await this.#answered(call)
    if (!fitsAnswer(expected, call.answer, this.#versions)) throw this.#otherwise(call.answer)
  }

  #answered(call: Call): Promise<void> {
    return this.#wait(
      () => call.answer.kind !== 'pending',
      () => 'no answer',
    )
  }

  #otherwise(answer: Answer): Mismatch {
    return new Mismatch(`found: ${shownAnswer(answer, this.#versions)}`)
  }

  #found(check: Check): string | undefined {
    if (check.kind === 'ended') this.#known.add(check.node)
    const evidence = { versions: this.#versions, said: this.#said, ended: this.#cluster.fatal }
    try {
      return checkNow(check, this.#cluster, evidence)
    } catch (error) {
      // A node that does not run cannot be looked at.
      return (error as Error).message
    }
  }

  #check(check: Check): void {
    const found = this.#found(check)
    if (found !== undefined) throw new Mismatch(`found: ${found}`)
  }

  async #eventually(check: Check, withinMs: number): Promise<void> {
    await this.#wait(
      () => this.#found(check) === undefined,
      () => `found: ${this.#found(check)}`,
      withinMs,
    )
  }

  async #eventuallyAsk(asked: Asked, expected: Expectation, withinMs: number): Promise<void> {
    const endMs = this.#cluster.world.nowMs + withinMs
    for (;;) {
      const call = this.#ask(asked)
      await this.#answered(call)
      if (fitsAnswer(expected, call.answer, this.#versions)) return
      if (this.#cluster.world.nowMs > endMs) throw this.#otherwise(call.answer)
      await this.#cluster.world.advance(askAgainMs)
    }
  }

  /** Lets the world run until it is so. */
  async #wait(holds: () => boolean, otherwise: () => string, withinMs: number = patienceMs): Promise<void> {
    let held = false
    const watched = (): boolean => {
      held ||= holds()
      return held
    }
    await this.#cluster.world.runUntil(watched, withinMs).catch((error: Error) => {
      throw new Mismatch(`${otherwise()} (${error.message})`)
    })
  }
}

type MachineAction = Extract<
  Action,
  {
    kind:
      | 'kill'
      | 'power'
      | 'stop'
      | 'pause'
      | 'resume'
      | 'wipe'
      | 'lose-records'
      | 'copy-disk'
      | 'restore-disk'
      | 'start'
      | 'clock'
      | 'drive'
      | 'drive-slow'
  }
>
