import { isUtf8 } from 'node:buffer'
import { exitStatus, UsageError } from '../exit.js'
import { limits } from '../limits.js'
import { LineSplitter } from '../lines.js'
import type { Shell } from './shell.js'
import { WordReader } from './words.js'

/** Where standard input is a file or a pipe: what goes wrong with a line itself is told as `fail` tells it. */
export interface ScriptOptions {
  /** Ends at the first command that fails, as `sh -e` does; otherwise the others are run all the same. */
  readonly exitOnError: boolean
  /** Tells what is wrong with a line and resolves to the status. */
  readonly fail: (error: UsageError) => Promise<number>
}

/** Runs the commands of standard input without prompts. Resolves to the status of the first one that failed. */
export async function runScript(shell: Shell, { exitOnError, fail }: ScriptOptions): Promise<number> {
  const reader = new WordReader()
  const splitter = new LineSplitter(limits.lineBytesMax)
  let number = 0
  const take = async (line: Buffer, tooLong: boolean): Promise<boolean> => {
    number += 1
    try {
      reader.push(textOf(line, tooLong))
      if (reader.waiting !== undefined) return true
      await shell.evaluate(reader.take())
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
      shell.failed(await fail(new UsageError(error.field, `line ${number}: ${error.message}`)))
    }
    return !shell.ended && !(exitOnError && shell.status !== exitStatus.done)
  }
  for await (const chunk of shell.context.io.stdin as AsyncIterable<Buffer>) {
    for (const { bytes, tooLong } of splitter.push(chunk)) if (!(await take(bytes, tooLong))) return shell.status
  }
  for (const { bytes, tooLong } of splitter.end()) if (!(await take(bytes, tooLong))) return shell.status
  if (reader.waiting !== undefined) shell.failed(await fail(new UsageError('LINE', unfinished[reader.waiting])))
  return shell.status
}

const unfinished = {
  quote: 'the input ends within a quote',
  continuation: 'the input ends behind a backslash that joins two lines',
  document: 'the input ends before the line that ends a <<',
} as const

function textOf(line: Buffer, tooLong: boolean): string {
  if (tooLong) throw new UsageError('LINE', `a line has at most ${limits.lineBytesMax} bytes`)
  if (!isUtf8(line)) throw new UsageError('LINE', 'the line is not UTF-8: bytes that are no text are written as \\xNN')
  return line.toString('utf8').replace(/\r$/, '')
}
