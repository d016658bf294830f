import { UsageError } from '../exit.js'
import { limits } from '../limits.js'

/** What a command waits for that does not end with its line. */
export type Waiting = 'quote' | 'continuation' | 'document'

type Quote = '' | '"' | "'"

const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0' }

interface Document {
  /** Which word it becomes. */
  readonly word: number
  readonly end: string
  readonly lines: string[]
}

/** Where the text that is being typed stands, for completion. */
export interface Partial {
  /** The words before it. */
  readonly words: readonly string[]
  /** Where its raw text begins in the line. */
  readonly start: number
  readonly quote: Quote
  /** What it means so far. */
  readonly word: string
}

/**
 * Cuts the shell's lines into words, by rules that are those of a POSIX shell as far as they go: blanks separate, `'…'` is
 * literal, `"…"` and bare text know escapes, an open quote and a backslash at the end go on in the next line, and `<<END`
 * stands for the lines up to one that is `END`. There are no variables and no substitutions. `\xNN` is a byte: where the
 * bytes of a word are not UTF-8, each is kept as a lone surrogate (U+DC00 + byte), which `escapedBytes` turns back; this is
 * what PEP 383 of Python does with file names. Nothing else can bring a lone surrogate here.
 */
export class WordReader {
  #words: string[] = []
  #word = ''
  #inWord = false
  #wordStart = 0
  #quote: Quote = ''
  #continued = false
  #documents: Document[] = []
  #chars = 0

  /** Takes one line, without its newline. Throws a UsageError, and has then forgotten all of the command. */
  push(line: string): void {
    try {
      this.#chars += line.length + 1
      if (this.#chars > limits.shellCommandCharsMax) {
        throw new UsageError('LINE', `a command has at most ${limits.shellCommandCharsMax} characters: use put --file`)
      }
      const [document] = this.#documents
      if (document !== undefined) this.#documentLine(document, line)
      else this.#line(line)
    } catch (error) {
      this.clear()
      throw error
    }
  }

  /** Undefined: the command is whole. */
  get waiting(): Waiting | undefined {
    if (this.#documents.length > 0) return 'document'
    if (this.#quote !== '') return 'quote'
    return this.#continued ? 'continuation' : undefined
  }

  /** The words of a command that is whole; none for a blank line or a comment. */
  take(): string[] {
    const words = this.#words
    this.clear()
    return words
  }

  clear(): void {
    this.#words = []
    this.#word = ''
    this.#inWord = false
    this.#quote = ''
    this.#continued = false
    this.#documents = []
    this.#chars = 0
  }

  #line(line: string): void {
    const fresh = this.#words.length === 0 && !this.#inWord
    this.#continued = false
    if (fresh && /^\s*#/.test(line)) return
    this.#scan(line)
    if (this.#quote !== '') this.#word += '\n'
    else if (!this.#continued) this.#endWord()
  }

  #scan(line: string): void {
    for (let at = 0; at < line.length; at++) {
      const char = line[at]!
      if (this.#quote === "'") {
        if (char === "'") this.#quote = ''
        else this.#word += char
      } else if (char === '\\') {
        at = this.#escape(line, at)
      } else if (this.#quote === '"') {
        if (char === '"') this.#quote = ''
        else this.#word += char
      } else if (/\s/.test(char)) {
        this.#endWord()
      } else if (char === '<' && !this.#inWord && line.startsWith('<<', at)) {
        at = this.#beginDocument(line, at)
      } else {
        this.#begin(at)
        if (char === '"' || char === "'") this.#quote = char
        else this.#word += char
      }
    }
  }

  #begin(at: number): void {
    if (this.#inWord) return
    this.#inWord = true
    this.#wordStart = at
  }

  #endWord(): void {
    if (!this.#inWord) return
    this.#words.push(asUtf8(this.#word))
    this.#word = ''
    this.#inWord = false
  }

  /** Returns the position of the escape's last character. */
  #escape(line: string, at: number): number {
    const char = line[at + 1]
    if (char === undefined) {
      // It joins this line with the next one, in the middle of a word too.
      this.#continued = this.#quote === ''
      if (!this.#continued) throw new UsageError('LINE', 'in quotes a line just goes on: no backslash at its end')
      return at
    }
    this.#begin(at)
    const byte = /^\\x([0-9a-fA-F]{2})/.exec(line.slice(at, at + 4))
    if (byte !== null) {
      const value = Number.parseInt(byte[1]!, 16)
      this.#word += String.fromCharCode(value < 0x80 ? value : 0xdc00 + value)
      return at + 3
    }
    const point = /^\\u\{([0-9a-fA-F]{1,6})\}/.exec(line.slice(at, at + 10))
    if (point !== null) {
      const value = Number.parseInt(point[1]!, 16)
      if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
        throw new UsageError('LINE', `${point[0]} is no character`)
      }
      this.#word += String.fromCodePoint(value)
      return at + point[0].length - 1
    }
    const meant = escapes[char] ?? (/[a-zA-Z0-9]/.test(char) ? undefined : char)
    if (meant === undefined) {
      const known = '\\n \\r \\t \\0 \\xNN \\u{N}'
      throw new UsageError('LINE', `there is no escape \\${char}: there are ${known}, and \\\\ for a backslash`)
    }
    this.#word += meant
    return at + 1
  }

  #beginDocument(line: string, at: number): number {
    const match = /^<<([A-Za-z_][A-Za-z0-9_]*)(?=\s|$)/.exec(line.slice(at))
    if (match === null) {
      throw new UsageError(
        'LINE',
        '<< needs a word behind it that ends the lines, as in <<END; put "<<" in quotes if it is meant',
      )
    }
    this.#documents.push({ word: this.#words.length, end: match[1]!, lines: [] })
    this.#words.push('')
    return at + match[0].length - 1
  }

  #documentLine(document: Document, line: string): void {
    if (line !== document.end) {
      document.lines.push(line)
      return
    }
    this.#words[document.word] = document.lines.join('\n')
    this.#documents.shift()
  }

  /** How `text`, the line up to the cursor, is to be completed. Undefined: it cannot be. */
  static partial(text: string): Partial | undefined {
    const reader = new WordReader()
    try {
      reader.#scan(text)
    } catch (error) {
      if (error instanceof UsageError) return undefined
      throw error
    }
    if (reader.#documents.length > 0 || reader.#continued) return undefined
    const start = reader.#inWord ? reader.#wordStart : text.length
    return { words: reader.#words, start, quote: reader.#quote, word: asUtf8(reader.#word) }
  }
}

/** Bytes that make up UTF-8 together become the characters that they are. */
function asUtf8(word: string): string {
  const bytes = escapedBytes(word)
  if (bytes === undefined) return word
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) ? text : word
}

const loneByte = /(?<![\ud800-\udbff])([\udc80-\udcff])/

/** The bytes of a word with bytes in it that are no text; undefined: it has none, and is what it looks like. */
export function escapedBytes(word: string): Buffer | undefined {
  const parts = word.split(loneByte)
  if (parts.length === 1) return undefined
  return Buffer.concat(
    parts.map((part, i) => (i % 2 === 1 ? Buffer.of(part.charCodeAt(0) - 0xdc00) : Buffer.from(part))),
  )
}

/** As they are, these could repaint the line that is typed: controls, C1 too, and marks that change the direction of text. */
const repainting = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffd]/u

const special: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** A word as it has to be typed to mean these bytes, inside the given quotes. Undefined: it cannot be there. */
export function typed(bytes: Uint8Array, quote: Quote): string | undefined {
  const text = Buffer.from(bytes).toString('utf8')
  const isText = Buffer.from(text).equals(bytes)
  if (quote === "'") return isText && !text.includes("'") && !repainting.test(text) ? `'${text}` : undefined
  const chars = isText ? [...text] : [...Buffer.from(bytes).toString('latin1')]
  const escaped = chars.map((char) => {
    const code = char.codePointAt(0)!
    if (special[char] !== undefined) return special[char]
    if (code < 0x20 || code === 0x7f || (!isText && code > 0x7f)) return `\\x${code.toString(16).padStart(2, '0')}`
    if (repainting.test(char)) return `\\u{${code.toString(16)}}`
    return (quote === '"' ? /["\\]/ : /[\s"'\\<#]/).test(char) ? `\\${char}` : char
  })
  return quote + escaped.join('')
}
