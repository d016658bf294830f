import { createInterface } from 'node:readline/promises'
import { text } from 'node:stream/consumers'
import { exitStatusOf } from './commands/exit.js'
import { type Invocation, parseCommandLine } from './config/flags.js'

function complain(error: unknown): void {
  process.stderr.write(`kv-server: ${error instanceof Error ? error.message : String(error)}\n`)
}

async function askOnTerminal(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return /^y(es)?$/i.test((await terminal.question(question)).trim())
  } finally {
    terminal.close()
  }
}

/**
 * Commands that start no node; undefined: it is none of them. Each loads what it needs: one that looks whether a node is
 * healthy is run all the time.
 */
async function otherCommand(argv: readonly string[]): Promise<number | undefined> {
  const [command, ...rest] = argv
  const output = { out: (text: string): void => void process.stdout.write(text) }
  switch (command) {
    case 'verify':
      return await (await import('./commands/verify.js')).runVerify(rest, process.env, output)
    case 'repair': {
      const ask = process.stdin.isTTY && process.stdout.isTTY ? askOnTerminal : undefined
      return await (await import('./commands/repair.js')).runRepair(rest, process.env, output, ask)
    }
    case 'auth':
      return await (await import('./access/auth-command.js')).runAuth(rest, output, () => text(process.stdin))
    case 'certs':
      return await (await import('./tls/certs-command.js')).runCerts(rest, output)
    case 'health':
      return await (await import('./commands/health-command.js')).runHealth(rest, process.env, output)
    case 'limits': {
      if (rest.length > 0) return undefined
      output.out((await import('./limits/table.js')).limitsText())
      return 0
    }
    default:
      return undefined
  }
}

/**
 * The program `kv-server`: `argv` is the command line without the program's name. It serves until it is told to stop,
 * and ends the process itself.
 */
export async function main(argv: readonly string[]): Promise<void> {
  let invocation: Invocation
  try {
    const status = await otherCommand(argv)
    if (status !== undefined) {
      process.exitCode = status
      return
    }
    invocation = await parseCommandLine(argv, process.env)
  } catch (error) {
    complain(error)
    process.exitCode = exitStatusOf(error)
    return
  }
  switch (invocation.kind) {
    case 'print':
      process.stdout.write(invocation.text)
      return
    case 'check-config':
      process.stdout.write('the configuration is good\n')
      return
    case 'serve':
      return await (await import('./commands/serve.js')).serve(invocation.config)
  }
}
