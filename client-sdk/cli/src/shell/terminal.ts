import { createInterface, type Interface, type Key } from 'node:readline'
import type { Command } from 'commander'
import { exitStatus, UsageError } from '../exit.js'
import { limits } from '../limits.js'
import { coloursFor, write } from '../output.js'
import { cut } from '../table.js'
import { complete } from './completion.js'
import { hintBehind } from './grammar.js'
import type { History } from './history.js'
import type { Shell } from './shell.js'
import { type Waiting, WordReader } from './words.js'

type Event =
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'interrupt' }
  | { readonly kind: 'end' }

const waitingPrompts: Readonly<Record<Waiting, string>> = { quote: 'quote', continuation: '', document: '<<' }

/** What a conversation needs besides the shell. */
export interface TerminalOptions {
  readonly history: History
  /** The grammar, for completion and hints. */
  readonly program: Command
  /** What stands in front of a line; it may change with every command. */
  readonly prompt: () => string
  /** Tells what is wrong with a line. */
  readonly fail: (error: UsageError) => Promise<number>
}

/**
 * A conversation on a terminal: a line editor with history, completion and hints. While a command runs the terminal is in its
 * ordinary mode and nothing is read, so that Ctrl-C is a signal and what is typed ahead waits.
 */
export class Terminal {
  readonly #shell: Shell
  readonly #options: TerminalOptions
  readonly #editor: Interface
  /** Lines of one pasted chunk at most: the editor is paused at the first of them. */
  readonly #events: Event[] = []
  #wake: (() => void) | undefined
  #reader = new WordReader()
  /** Of the hint that stands behind the cursor. */
  #hinted = false
  #closed = false

  constructor(shell: Shell, options: TerminalOptions) {
    this.#shell = shell
    this.#options = options
    const { stdin, stdout } = shell.context.io
    // Before the editor sees a key the old hint goes, and afterwards, when the editor has made the line, comes the new one.
    stdin.on('keypress', this.#clearHint)
    this.#editor = createInterface({
      input: stdin,
      output: stdout,
      terminal: true,
      history: [...options.history.lines],
      historySize: limits.shellHistoryLinesMax,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, completed: [string[], string]) => void) => {
        const whole = this.#reader.waiting === undefined
        const completed = whole
          ? complete(options.program, shell.client, line)
          : Promise.resolve<[string[], string]>([[], line])
        completed.then(
          (result) => done(null, result),
          () => done(null, [[], line]),
        )
      },
    })
    stdin.on('keypress', this.#showHint)
    this.#editor.on('line', (text) => {
      this.#editor.pause()
      this.#happened({ kind: 'line', text })
    })
    this.#editor.on('SIGINT', () => {
      if (this.#editor.cursor === this.#editor.line.length)
        stdout.write('^C')
        // What the REPL of Node does at Ctrl-C; its types do not know it.
      ;(this.#editor as Interface & { clearLine(): void }).clearLine()
      this.#happened({ kind: 'interrupt' })
    })
    this.#editor.on('close', () => {
      this.#closed = true
      this.#happened({ kind: 'end' })
    })
  }

  /** Until `exit`, Ctrl-D or the end of the terminal. Resolves to status 0: each failure was told when it came. */
  async run(): Promise<number> {
    const { stdin, stdout, stderr } = this.#shell.context.io
    const { history } = this.#options
    try {
      while (!this.#shell.ended) {
        const event = await this.#next()
        if (event.kind === 'end') {
          await write(stdout, '\n')
          break
        }
        if (event.kind === 'interrupt') this.#reader.clear()
        else await this.#line(event.text)
      }
    } finally {
      stdin.off('keypress', this.#clearHint)
      stdin.off('keypress', this.#showHint)
      this.#editor.close()
    }
    if (history.obstacle !== undefined) await write(stderr, `kv: ${history.obstacle}\n`)
    return exitStatus.done
  }

  async #line(text: string): Promise<void> {
    const fresh = this.#reader.waiting === undefined
    // Of a command of several lines the first is kept: values behind << are not for the history.
    if (fresh && text.trim() !== '') this.#options.history.add(text)
    try {
      this.#reader.push(text)
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
      await this.#options.fail(error)
      return
    }
    if (this.#reader.waiting === undefined) await this.#evaluate(this.#reader.take())
  }

  async #evaluate(words: readonly string[]): Promise<void> {
    if (words.length === 0) return
    const { stdin } = this.#shell.context.io
    this.#shell.ask = (question) => this.#ask(question)
    this.#editor.pause()
    stdin.setRawMode?.(false)
    try {
      await this.#shell.evaluate(words)
    } finally {
      if (!this.#closed) stdin.setRawMode?.(true)
    }
  }

  /** Ctrl-C at the question is no answer. */
  async #ask(question: string): Promise<string> {
    const { stdin } = this.#shell.context.io
    const over = new AbortController()
    const cancel = (): void => over.abort()
    stdin.setRawMode?.(true)
    try {
      return await new Promise((resolve) => {
        const none = (): void => resolve('')
        over.signal.addEventListener('abort', none)
        this.#editor.on('SIGINT', cancel)
        this.#editor.question(question, { signal: over.signal }, resolve)
      })
    } finally {
      this.#editor.off('SIGINT', cancel)
      this.#editor.pause()
      stdin.setRawMode?.(false)
    }
  }

  async #next(): Promise<Event> {
    if (this.#events.length === 0 && !this.#closed) {
      const { waiting } = this.#reader
      this.#editor.setPrompt(waiting === undefined ? this.#options.prompt() : `${waitingPrompts[waiting]}> `)
      this.#editor.prompt()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#events.shift() ?? { kind: 'end' }
  }

  #happened(event: Event): void {
    this.#events.push(event)
    this.#wake?.()
    this.#wake = undefined
  }

  readonly #clearHint = (): void => {
    if (!this.#hinted) return
    this.#hinted = false
    this.#shell.context.io.stdout.write('\x1b[K')
  }

  readonly #showHint = (_chars: string | undefined, key: Key | undefined): void => {
    if (this.#closed || this.#reader.waiting !== undefined || this.#events.length > 0) return
    if (key?.name === 'return' || key?.name === 'enter' || key?.name === 'tab') return
    const { stdout, env } = this.#shell.context.io
    const { line, cursor } = this.#editor
    if (line.trim() === '' || cursor !== line.length) return
    const place = WordReader.partial(line)
    if (place === undefined) return
    const room = (stdout.columns ?? 80) - this.#editor.getCursorPos().cols - 1
    const hint = cut(hintBehind(this.#options.program, place.words, place.word), room)
    const colours = coloursFor(stdout, env)
    if (hint === '' || room < 2 || !colours.isColorSupported) return
    this.#hinted = true
    stdout.write(`\x1b[K${colours.dim(hint)}\x1b[${hint.length}D`)
  }
}
