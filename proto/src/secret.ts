import { inspect } from 'node:util'

const shown = '[secret]'

/** A text that nobody is to read: however it is printed, logged or turned into JSON, it says `[secret]`. */
export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** The text, for whoever sends it or compares it. */
  reveal(): string {
    return this.#text
  }

  toString(): string {
    return shown
  }

  toJSON(): string {
    return shown
  }
}

Object.defineProperty(Secret.prototype, inspect.custom, { value: () => shown })
