import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SimRandom } from '@quorumkv/internal/env-sim'
import { inputBytesMax } from './mutate.js'
import type { OpenTarget, Target, Verdict } from './target.js'
import { Watchdog } from './watchdog.js'

/** No case takes longer. It tells work that is out of proportion, and not how fast anything is: see `#slow`. */
const caseMsMax = 250
/** Each case may hold so much besides what its input explains. */
const caseBytesMax = 33_554_432
/** What may be held in the end beyond what was held after the first cases. */
const heapGrowthBytesMax = 16_777_216
const rssGrowthBytesMax = 201_326_592
/** Code that is compiled, caches and pools are there after so many cases. */
const warmUpCases = 3_000
const settleEvery = 500
/** One target stops after so many faults. */
const faultsMax = 10

/** A case that went wrong, with all that is needed to see it again. */
export interface Failure {
  readonly target: string
  readonly seed: string
  /** Its number; undefined: it came to light after some, the last of which this is. */
  readonly index: number
  readonly input: Uint8Array
  readonly what: string
}

/** What the cases of one target have come to. */
export interface Figures {
  readonly target: string
  cases: number
  taken: number
  seconds: number
  /** Of the processor; a part of `seconds`, or more than that. */
  cpuSeconds: number
  slowestMs: number
  /** Of the heap and what hangs on it, and of the process, since the warm-up. */
  heapGrownBytes: number
  rssGrownBytes: number
  /** See `OpenTarget`. */
  outcomes: ReadonlyMap<string, number>
  readonly failures: Failure[]
}

export interface RunOptions {
  readonly seed: string
  readonly cases: number
  /** Only this one. */
  readonly index?: number | undefined
  /** No new case begins later than so long after the first. */
  readonly forMs?: number | undefined
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function heldBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
  return heap + external
}

async function heldAfterCollection(): Promise<number> {
  // What finalizers and the event loop let go, goes in the second round.
  for (let round = 0; round < 2; round++) {
    collectGarbage()
    await turn()
  }
  collectGarbage()
  return heldBytes()
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** One line for people: what went wrong, and how to see it again. */
export function failureText({ target, seed, index, input, what }: Failure): string {
  const again = `npm run fuzz -- --target ${target} --seed ${seed} --case ${index}`
  return `${target}, seed ${seed}, case ${index}: ${what}\n  input (${input.length} bytes): ${Buffer.from(input).toString('hex')}\n  again: ${again}`
}

export function figuresText({
  target,
  cases,
  taken,
  seconds,
  cpuSeconds,
  slowestMs,
  heapGrownBytes,
  rssGrownBytes,
  outcomes,
  failures,
}: Figures): string {
  const rate = Math.round(cases / Math.max(seconds, 0.001))
  const mib = (bytes: number): string => (bytes / 1_048_576).toFixed(1)
  const grown = `heap ${mib(heapGrownBytes)} MiB, RSS ${mib(rssGrownBytes)} MiB`
  const told = outcomes.size === 0 ? '' : ` (${[...outcomes].map(([name, count]) => `${count} ${name}`).join(', ')})`
  return `${target.padEnd(17)} ${cases.toLocaleString('en-US').padStart(9)} cases, ${taken.toLocaleString('en-US').padStart(9)} taken, ${seconds.toFixed(1).padStart(6)} s (CPU ${cpuSeconds.toFixed(1)}), ${rate.toLocaleString('en-US').padStart(8)}/s, slowest ${slowestMs.toFixed(0)} ms, ${grown}, ${failures.length} faults${told}`
}

/** Puts cases to targets, and judges what comes of each. */
export class Judge implements AsyncDisposable {
  readonly #watchdog = new Watchdog(inputBytesMax)
  /** Errors that nobody caught since they were looked at last. */
  readonly #uncaught: unknown[] = []

  /** Runs one target. Never throws for a fault: it is in the figures. */
  async run(target: Target, options: RunOptions): Promise<Figures> {
    const restore = this.#catchAll()
    const before = process.cpuUsage()
    const figures: Figures = {
      ...{ target: target.name, cases: 0, taken: 0, seconds: 0, cpuSeconds: 0, slowestMs: 0 },
      ...{ heapGrownBytes: 0, rssGrownBytes: 0, outcomes: new Map(), failures: [] },
    }
    try {
      const open = await target.open()
      try {
        figures.outcomes = open.outcomes ?? figures.outcomes
        await this.#cases(target, open, options, figures)
      } finally {
        await open.close?.()
      }
    } finally {
      restore()
    }
    const { user, system } = process.cpuUsage(before)
    figures.cpuSeconds = (user + system) / 1_000_000
    return figures
  }

  /** Puts one input to a target that nothing else was put to. Returns what is wrong; undefined: nothing. */
  async one(target: Target, input: Uint8Array): Promise<string | undefined> {
    const fixed: Target = {
      ...target,
      open: async () => {
        const open = await target.open()
        return { run: (bytes) => open.run(bytes), ...bound(open), make: () => input }
      },
    }
    const { failures } = await this.run(fixed, { seed: 'kept', cases: 1 })
    return failures[0]?.what
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watchdog.stop()
  }

  async #cases(target: Target, open: OpenTarget, options: RunOptions, figures: Figures): Promise<void> {
    const { seed, cases, index: only, forMs = Number.POSITIVE_INFINITY } = options
    const startedMs = performance.now()
    let warm: { heap: number; rss: number; cases: number } | undefined
    let input: Uint8Array = new Uint8Array(0)
    let index = only ?? 0
    const fail = (what: string): void => {
      if (!figures.failures.some((known) => known.what === what)) {
        figures.failures.push({ target: target.name, seed, index, input, what })
      }
    }
    const settle = async (): Promise<void> => {
      await turn()
      for (const error of this.#uncaught.splice(0)) fail(`nobody caught ${described(error)}`)
      try {
        await open.settle?.()
      } catch (error) {
        fail(described(error))
      }
    }
    const end = only === undefined ? cases : only + 1
    while (index < end && figures.failures.length < faultsMax && performance.now() - startedMs < forMs) {
      const many = Math.min(target.atOnce ?? 1, end - index)
      if (many === 1) {
        input = open.make(new SimRandom(`${seed}/${target.name}/${index}`))
        const what = await this.#case(target, open, input, figures)
        if (what !== undefined) fail(what)
      } else {
        const first = index
        const side = async (_: unknown, i: number): Promise<void> => {
          const made = open.make(new SimRandom(`${seed}/${target.name}/${first + i}`))
          const what = await this.#case(target, open, made, figures)
          if (what === undefined) return
          ;[index, input] = [first + i, made]
          fail(what)
        }
        await Promise.all(Array.from({ length: many }, side))
        index = first + many - 1
      }
      index++
      figures.cases += many
      if (this.#uncaught.length > 0 || figures.cases % settleEvery < many) await settle()
      if (warm === undefined && figures.cases >= warmUpCases) warm = await measured(figures.cases)
    }
    index--
    await settle()
    figures.seconds = (performance.now() - startedMs) / 1_000
    if (warm === undefined || figures.cases < 2 * warmUpCases) return
    const now = await measured(figures.cases)
    figures.heapGrownBytes = now.heap - warm.heap
    figures.rssGrownBytes = now.rss - warm.rss
    const kept = (target.keptBytesPerCase ?? 0) * (now.cases - warm.cases)
    if (figures.heapGrownBytes > heapGrowthBytesMax + kept)
      fail(`the heap has grown by ${figures.heapGrownBytes} bytes`)
    if (figures.rssGrownBytes > rssGrowthBytesMax + 2 * kept)
      fail(`the process has grown by ${figures.rssGrownBytes} bytes`)
  }

  /** Returns what is wrong. */
  async #case(target: Target, open: OpenTarget, input: Uint8Array, figures: Figures): Promise<string | undefined> {
    const before = heldBytes()
    this.#watchdog.begin(target.name, input)
    const startedMs = performance.now()
    try {
      const running = open.run(input)
      const verdict: Verdict = typeof running === 'string' ? running : await running
      const tookMs = performance.now() - startedMs
      const held = heldBytes() - before
      if (verdict === 'taken') figures.taken++
      figures.slowestMs = Math.max(figures.slowestMs, tookMs)
      if (tookMs > caseMsMax && (await this.#slow(open, input))) return `took more than ${caseMsMax} ms, three times`
      const most = caseBytesMax + input.length * (target.bytesPerByteMax ?? 1_000)
      const sure = held > most ? await this.#held(open, input, before, most) : undefined
      return sure === undefined ? undefined : `held ${sure} bytes, for an input of ${input.length}`
    } catch (error) {
      return described(error)
    } finally {
      this.#watchdog.end()
    }
  }

  /**
   * Other programs and the collector of garbage may have taken the time: what is slow by itself is so again, and by the time
   * of the processor as well.
   */
  async #slow(open: OpenTarget, input: Uint8Array): Promise<boolean> {
    for (let again = 0; again < 2; again++) {
      const before = process.cpuUsage()
      await open.run(input)
      const { user, system } = process.cpuUsage(before)
      if ((user + system) / 1_000 <= caseMsMax) return false
    }
    return true
  }

  /**
   * How much a case holds that seems to have held more than `most`; undefined: less. What V8 counts as external was seen to rise by 36
   * MiB when it collected garbage in the middle of a case. So only that counts which stays when all garbage has gone, or which
   * the case takes again from a clean start, most of three times.
   */
  async #held(open: OpenTarget, input: Uint8Array, before: number, most: number): Promise<number | undefined> {
    const kept = (await heldAfterCollection()) - before
    if (kept > most) return kept
    const taken: number[] = []
    for (let again = 0; again < 3; again++) {
      const from = await heldAfterCollection()
      await open.run(input)
      taken.push(heldBytes() - from)
    }
    const [, median = 0] = taken.sort((a, b) => a - b)
    return median > most ? median : undefined
  }

  /** Errors that nobody catches come here alone, also where a runner of tests listens for them. */
  #catchAll(): () => void {
    const events = ['uncaughtException', 'unhandledRejection'] as const
    const note = (error: unknown): void => void this.#uncaught.push(error)
    const before = events.map((event) => process.listeners(event as 'uncaughtException'))
    for (const event of events) process.removeAllListeners(event).on(event, note)
    return () => {
      for (const [i, event] of events.entries()) {
        process.removeAllListeners(event)
        for (const listener of before[i]!) process.on(event as 'uncaughtException', listener)
      }
    }
  }
}

function bound(open: OpenTarget): Pick<OpenTarget, 'settle' | 'close'> {
  const { settle, close } = open
  return {
    ...(settle === undefined ? {} : { settle: settle.bind(open) }),
    ...(close === undefined ? {} : { close: close.bind(open) }),
  }
}

async function measured(cases: number): Promise<{ heap: number; rss: number; cases: number }> {
  const heap = await heldAfterCollection()
  return { heap, rss: process.memoryUsage.rss(), cases }
}

/** With the first places of the stack: two faults at one place are one. */
function described(error: unknown): string {
  if (!(error instanceof Error)) return `something that is no error: ${String(error)}`
  const places = (error.stack ?? '').split('\n').filter((line) => line.trimStart().startsWith('at '))
  return [`${error.name}: ${error.message}`, ...places.slice(0, 4).map((line) => line.trim())].join('\n    ')
}
