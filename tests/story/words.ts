/** A play cannot be read. The message starts with `file:line:`. */
export class PlaySyntaxError extends Error {
  override readonly name = 'PlaySyntaxError'
  readonly line: number

  constructor(file: string, line: number, message: string) {
    super(`${file}:${line}: ${message}`)
    this.line = line
  }
}

interface Word {
  readonly text: string
  /** It stood in quotes: never a word of the language. */
  readonly quoted: boolean
}

const pattern = /\s*(?:"([^"]*)"|(->|[=|:<,])|([^\s"=|:<,]+))/y
const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** One line of a play, taken word by word. Whatever does not fit throws PlaySyntaxError. */
export class Words {
  readonly #file: string
  readonly #line: number
  readonly #words: readonly Word[]
  #at = 0

  constructor(file: string, line: number, text: string) {
    this.#file = file
    this.#line = line
    this.#words = this.#split(text)
  }

  get done(): boolean {
    return this.#at === this.#words.length
  }

  fail(message: string): never {
    throw new PlaySyntaxError(this.#file, this.#line, message)
  }

  /** Fails at the next word. */
  wanted(what: string): never {
    const word = this.#words[this.#at]
    const found = word === undefined ? 'the line ends' : `found ${word.quoted ? `"${word.text}"` : `\`${word.text}\``}`
    return this.fail(`expected ${what}, ${found}`)
  }

  /** Whether the words from here on are these; nothing is taken. */
  ahead(...texts: readonly string[]): boolean {
    return texts.every((text, i) => {
      const word = this.#words[this.#at + i]
      return word !== undefined && !word.quoted && word.text === text
    })
  }

  /** Whether the word behind the next one is this. */
  second(text: string): boolean {
    const word = this.#words[this.#at + 1]
    return word !== undefined && !word.quoted && word.text === text
  }

  /** Takes these words if they come next. */
  accept(...texts: readonly string[]): boolean {
    if (!this.ahead(...texts)) return false
    this.#at += texts.length
    return true
  }

  expect(...texts: readonly string[]): void {
    for (const text of texts) if (!this.accept(text)) this.wanted(`\`${text}\``)
  }

  /** A name or a plain word. */
  word(what: string): string {
    const word = this.#words[this.#at]
    if (word === undefined || word.quoted || /^(->|[=|:<,])$/.test(word.text)) return this.wanted(what)
    this.#at++
    return word.text
  }

  /** A word, or anything in quotes. `"x" times 8000` is a long one. */
  string(what: string): string {
    const word = this.#words[this.#at]
    const text = word?.quoted === true ? word.text : this.word(what)
    if (word?.quoted === true) this.#at++
    return this.accept('times') ? text.repeat(this.whole('how often')) : text
  }

  oneOf<T extends string>(choices: readonly T[]): T {
    const found = choices.find((choice) => this.ahead(choice))
    if (found === undefined) return this.wanted(choices.map((choice) => `\`${choice}\``).join(' or '))
    this.#at++
    return found
  }

  whole(what: string): number {
    const text = this.word(what)
    if (/^\d{1,9}$/.test(text)) return Number(text)
    this.#at--
    return this.wanted(`${what}, a whole number`)
  }

  /** `5s`, `200ms`, `1m`, `2h`; with a sign where `signed`. In milliseconds. */
  duration(signed = false): number {
    const text = this.word('a duration')
    const [, sign = '', digits, unit] = /^([+-]?)(\d{1,9})(ms|s|m|h)$/.exec(text) ?? []
    if (digits !== undefined && (sign !== '') === signed) {
      return (sign === '-' ? -1 : 1) * Number(digits) * unitsMs[unit!]!
    }
    this.#at--
    return this.wanted(signed ? 'a duration with a sign, like `+4s`' : 'a duration like `200ms`, `5s`, `1m` or `2h`')
  }

  end(): void {
    if (!this.done) this.wanted('the end of the line')
  }

  #split(text: string): Word[] {
    const words: Word[] = []
    pattern.lastIndex = 0
    for (let at = 0; at < text.trimEnd().length; at = pattern.lastIndex) {
      const found = pattern.exec(text)
      if (found === null) this.fail(`a quote is not closed: ${text.slice(at).trim()}`)
      const [, quoted, symbol, word] = found
      words.push(quoted === undefined ? { text: symbol ?? word!, quoted: false } : { text: quoted, quoted: true })
    }
    return words
  }
}
