import { createInterface } from 'node:readline/promises'
import { UsageError } from './exit.js'
import type { Io } from './io.js'

/**
 * Asks a person whether to go on. Throws a UsageError where nobody can be asked: what changes a cluster is never taken for
 * granted.
 */
export async function confirm({ stdin, stderr, ask }: Io, question: string): Promise<boolean> {
  if (ask !== undefined) return isYes(await ask(`${question} [y/N] `))
  if (stdin.isTTY !== true || stderr.isTTY !== true) {
    throw new UsageError('--yes', 'nobody can be asked here: say --yes to go ahead')
  }
  const terminal = createInterface({ input: stdin, output: stderr })
  try {
    return isYes(await terminal.question(`${question} [y/N] `))
  } finally {
    terminal.close()
  }
}

function isYes(answer: string): boolean {
  return /^y(es)?$/i.test(answer.trim())
}
