import { limits } from '../limits.js'

/** Errors, counted by their code, with a few of them word for word. */
export class ErrorTally {
  readonly byCode: Map<string, number> = new Map()
  readonly examples: string[] = []
  readonly #max: number
  #count = 0

  /** @param max - at so many, going on would measure nothing */
  constructor(max: number = limits.benchErrorsMax) {
    this.#max = max
  }

  get count(): number {
    return this.#count
  }

  get isFull(): boolean {
    return this.#count >= this.#max
  }

  add(error: unknown): void {
    const code = codeOf(error)
    this.#count++
    this.byCode.set(code, (this.byCode.get(code) ?? 0) + 1)
    if (this.examples.length < limits.benchErrorExamplesMax) {
      this.examples.push(`${code}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
