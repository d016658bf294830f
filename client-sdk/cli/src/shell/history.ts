import { appendFileSync, chmodSync, readFileSync, realpathSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Io } from '../io.js'
import { limits } from '../limits.js'
import { visible } from '../text.js'

/** Lines that may name a secret are not written down, as redis-cli keeps AUTH out of its file; so is what begins with a blank. */
const secret = /pass(word|wd|phrase)?\b|passw|secret|token|credential|api[-_ ]?key|private[-_ ]?key|\bauth/i

/** Whether a line may be kept in a file. */
export function mayBeKept(line: string): boolean {
  return /^\S/.test(line) && !secret.test(line) && mayBeShown(line)
}

/** The editor shows a line as it is: one that would move the cursor, retitle the terminal or turn text around is no history. */
function mayBeShown(line: string): boolean {
  return line.length <= limits.shellHistoryLineCharsMax && visible(line, '\t') === line
}

/** The lines of earlier sessions, in a file that only its owner can read. Failures are told once, and end nothing. */
export class History {
  /** Newest first, as readline wants them. */
  readonly lines: readonly string[]
  /** Why nothing is kept; undefined: it is. */
  obstacle: string | undefined
  readonly #path: string | undefined
  #last: string | undefined

  /** `KVCLI_HISTFILE` names the file; empty: none is kept. */
  constructor(env: Io['env']) {
    const named = env['KVCLI_HISTFILE']
    this.#path = named === undefined ? join(env['HOME'] ?? homedir(), '.kv_history') : named || undefined
    this.lines = this.#read()
    this.#last = this.lines[0]
  }

  add(typed: string): void {
    // Completion leaves a blank at the end.
    const line = typed.trimEnd()
    if (this.#path === undefined || this.obstacle !== undefined || line === this.#last || !mayBeKept(line)) return
    this.#last = line
    this.#try(() => appendFileSync(this.#path!, `${line}\n`, { mode: 0o600 }))
  }

  #read(): string[] {
    const path = this.#path
    if (path === undefined) return []
    const lines: string[] = []
    this.#try(() => {
      const file = fileOf(path)
      if (file === undefined) return
      const written = readFileSync(file, 'utf8')
        .split('\n')
        .map((line) => line.trimEnd())
      const all = written.filter((line) => line !== '' && mayBeShown(line))
      lines.push(...all.slice(-limits.shellHistoryLinesMax).reverse())
      if (all.length > limits.shellHistoryLinesMax * 2) {
        // Another shell's line that comes in between is lost: history, not data.
        writeFileSync(`${file}.new`, `${[...lines].reverse().join('\n')}\n`, { mode: 0o600 })
        renameSync(`${file}.new`, file)
      }
      chmodSync(file, 0o600)
    })
    return lines
  }

  #try(deed: () => void): void {
    try {
      deed()
    } catch (error) {
      this.obstacle = `the history is not kept: ${(error as Error).message}`
    }
  }
}

/**
 * Where links lead to. Undefined: nothing is there yet, or something that is no file, such as `/dev/null`, which has nothing
 * to tell, and whose mode is not ours to change.
 */
function fileOf(path: string): string | undefined {
  try {
    const file = realpathSync(path)
    const stats = statSync(file)
    // Of a directory it is told below why it cannot be read.
    return stats.isFile() || stats.isDirectory() ? file : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
