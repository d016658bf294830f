import { randomInt } from 'node:crypto'
import { afterAll } from 'vitest'

/*
 * What the suites below tests/crash share: how long they run, what they draw their choices from, and the one line that
 * each of them prints, green or red.
 */

/** `KV_CRASH=long` (`npm run test:crash`) for the whole of it; otherwise as much as fits into `npm test`. */
export const longForm: boolean = process.env['KV_CRASH'] === 'long'

/** A whole number above zero from the environment; undefined: not set. Throws where it is anything else. */
export function environmentNumber(name: string): number | undefined {
  const text = process.env[name]
  if (text === undefined || text === '') return undefined
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new Error(`${name} must be a whole number above zero, not ${text}`)
  return Number(text)
}

/**
 * `KV_SEED`; otherwise another one in every run of a long form, and always the same one in `npm test`: what is asked of
 * a change must not hang on luck.
 */
export function drawSeed(long: boolean): number {
  return environmentNumber('KV_SEED') ?? (long ? randomInt(1, 2 ** 31) : 1)
}

/** Everything that is left to chance in one file of tests follows from it. */
export const seed: number = drawSeed(longForm)

/** The figures of one suite. Printed as one line when the tests of the file have ended, however they ended. */
export class Report {
  readonly #name: string
  readonly #figures = new Map<string, number>()
  readonly #startedMs = Date.now()

  constructor(name: string) {
    this.#name = name
    afterAll(() => {
      process.stdout.write(`${this.line()}\n`)
    })
  }

  /** Adds to a figure; figures are printed in the order in which they were first counted. */
  count(figure: string, by = 1): void {
    this.#figures.set(figure, (this.#figures.get(figure) ?? 0) + by)
  }

  /** Keeps the highest of what is given. */
  highest(figure: string, value: number): void {
    this.#figures.set(figure, Math.max(this.#figures.get(figure) ?? value, value))
  }

  /** What was counted; 0: nothing was. */
  figure(figure: string): number {
    return this.#figures.get(figure) ?? 0
  }

  /** `power cut: KV_SEED=7 short, 12 workloads, 3,400 crash points, 14.2 s` */
  line(): string {
    const figures = [...this.#figures].map(([figure, value]) => `${value.toLocaleString('en-US')} ${figure}`)
    const seconds = ((Date.now() - this.#startedMs) / 1000).toFixed(1)
    return `${this.#name}: KV_SEED=${seed} ${[longForm ? 'long' : 'short', ...figures, `${seconds} s`].join(', ')}`
  }
}
