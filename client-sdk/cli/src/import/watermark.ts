import type { LinePosition } from '../lines.js'

/**
 * How far an import has come for certain: the last line of which it and every line before it is settled. Puts end in
 * any order, so what ended ahead of that line is remembered, for at most `window` lines.
 */
export class Watermark {
  readonly #settled: Uint8Array
  readonly #ends: Float64Array
  #position: LinePosition

  constructor(window: number, from: LinePosition = { lines: 0, offset: 0 }) {
    this.#settled = new Uint8Array(window)
    this.#ends = new Float64Array(window)
    this.#position = from
  }

  /** Everything up to here is settled: a later run may start behind it. */
  get position(): LinePosition {
    return this.#position
  }

  /** Whether a line may be begun, or is too far ahead to be remembered. */
  hasRoomFor(line: number): boolean {
    return line - this.#position.lines <= this.#settled.length
  }

  /** `line` needs nothing more; `end` is the offset behind it. Each line is settled once, and only where there is room. */
  settle(line: number, end: number): void {
    const window = this.#settled.length
    this.#settled[line % window] = 1
    this.#ends[line % window] = end
    let { lines, offset } = this.#position
    while (this.#settled[(lines + 1) % window] === 1) {
      lines += 1
      this.#settled[lines % window] = 0
      offset = this.#ends[lines % window]!
    }
    if (lines !== this.#position.lines) this.#position = { lines, offset }
  }
}
