import type { Log } from '@quorumkv/internal/env'
import type { MessagePattern } from './language.js'
import type { Said, Witness } from './messages.js'

/** Lines that are kept: the last ones, which a failure is about. */
const linesMax = 4_000

/** What is said all the time, whatever the play is about: left out of the transcript. */
const smallTalk = new Set(['ping', 'pong'])

/** Something that has been said, for those who wait for it. */
interface Utterance extends Said {
  readonly from: string
  readonly to: string
  readonly arrived: boolean
}

/** Message patterns that are stopped on their way once. */
interface Trap {
  readonly pattern: MessagePattern
  readonly spring: () => 'send' | 'lose'
}

function fits(pattern: MessagePattern, from: string, to: string, said: Said): boolean {
  if (pattern.from !== from || pattern.to !== to || pattern.message !== said.kind) return false
  return pattern.key === undefined || pattern.key === said.key
}

/** Everything that happens on the stage, in order: messages as they leave and arrive, logs, stage directions. */
export class Transcript implements Witness {
  readonly #nowMs: () => number
  readonly #lines: string[] = []
  readonly #traps: Trap[] = []
  #left = 0
  #waiting: ((utterance: Utterance) => void) | undefined

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  note(line: string): void {
    this.#lines.push(`${this.#nowMs().toFixed(3).padStart(12)}  ${line}`)
    if (this.#lines.length <= linesMax) return
    this.#lines.splice(0, linesMax / 4)
    this.#left += linesMax / 4
  }

  /** The cluster has formed; how is not what the play is about. */
  begin(): void {
    this.#lines.length = 0
    this.note('the cluster has formed')
  }

  text(): string {
    const before = this.#left === 0 ? [] : [`(${this.#left} lines before)`]
    return [...before, ...this.#lines].join('\n')
  }

  /** The next message that fits is lost, or is about to be sent when `spring` is called; once. */
  setTrap(pattern: MessagePattern, spring: () => 'send' | 'lose'): void {
    this.#traps.push({ pattern, spring })
  }

  /** Patterns of traps that have not sprung. */
  get armed(): readonly MessagePattern[] {
    return this.#traps.map(({ pattern }) => pattern)
  }

  /** Whether a message that fits has been sent, or has arrived, since this was called. */
  watchFor(pattern: MessagePattern, arrived: boolean): () => boolean {
    let seen = false
    this.#waiting = (said) => {
      if (said.arrived === arrived && fits(pattern, said.from, said.to, said)) seen = true
    }
    return () => seen
  }

  sending(from: string, to: string, said: readonly Said[]): 'send' | 'lose' {
    const index = this.#traps.findIndex(({ pattern }) => said.some((each) => fits(pattern, from, to, each)))
    const verdict = index < 0 ? 'send' : this.#traps.splice(index, 1)[0]!.spring()
    for (const each of said) this.#utter({ ...each, from, to, arrived: false }, verdict === 'lose' ? ' LOST' : '')
    return verdict
  }

  received(from: string, to: string, said: readonly Said[]): void {
    for (const each of said) this.#utter({ ...each, from, to, arrived: true }, '')
  }

  #utter(utterance: Utterance, mark: string): void {
    const { kind, key, detail, from, to, arrived } = utterance
    if (!smallTalk.has(kind)) {
      const what = [kind, key, detail].filter((part) => part !== undefined && part !== '').join(' ')
      this.note(arrived ? `${to} <- ${from}  ${what}` : `${from} -> ${to}  ${what}${mark}`)
    }
    this.#waiting?.(utterance)
  }

  /** What a node's log says goes into the transcript as well; `heard` gets each sentence. */
  logOf(node: string, heard: (sentence: string) => void): Log {
    const take = (message: string, facts: Readonly<Record<string, unknown>> = {}): void => {
      heard(message)
      this.note(`${node}: ${message} ${JSON.stringify(facts)}`)
    }
    return { debug() {}, info: take, warn: take, error: take }
  }
}
