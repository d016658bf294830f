import { readFileSync } from 'node:fs'
import type { KvClientOptions } from '@quorumkv/client'
import { Command, CommanderError, Option } from 'commander'
import { registerBench } from './commands/bench.js'
import { registerCompletion } from './commands/completion.js'
import { registerDelete } from './commands/delete.js'
import { registerExport } from './commands/export.js'
import { registerGet } from './commands/get.js'
import { registerImport } from './commands/import.js'
import { registerMget } from './commands/mget.js'
import { registerNode } from './commands/node.js'
import { registerPartition } from './commands/partition.js'
import { registerPut } from './commands/put.js'
import { registerRaiseLevel } from './commands/raise-level.js'
import { registerRepair } from './commands/repair.js'
import { registerRing } from './commands/ring.js'
import { registerScan } from './commands/scan.js'
import { registerSnapshot } from './commands/snapshot.js'
import { registerStatus } from './commands/status.js'
import type { Client, Connect, Context, Execute, GlobalOptions } from './context.js'
import { parseDuration } from './duration.js'
import { exitStatus, UsageError } from './exit.js'
import type { Io } from './io.js'
import { limits } from './limits.js'
import { coloursFor, OutputClosedError, write, writeJson } from './output.js'
import { explain, sentence } from './report.js'

const defaultEndpoint = '127.0.0.1:50051'

interface ParsedGlobals {
  readonly endpoints?: string
  readonly json?: true
  readonly consistency?: GlobalOptions['consistency']
  readonly timeout?: number
}

/**
 * Runs one command line (without the names of node and of the script) and resolves to its exit status. Never rejects:
 * what goes wrong is told on standard error. Every client that was made is closed.
 */
export async function run(argv: readonly string[], io: Io, connect: Connect): Promise<number> {
  // The writes themselves report their failures; without a listener the stream's event would end the process.
  const ignore = (): void => undefined
  io.stdout.on('error', ignore)
  io.stderr.on('error', ignore)
  const clients: Client[] = []
  let status: number = exitStatus.done
  const program = createProgram(io, async (command) => {
    status = await command(contextOf(program, io, connect, clients))
  })
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    status = await failed(error, argv, program, io, clients)
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
  return status
}

/** The command line's grammar and help. `execute` is called once, with the command that was chosen. */
export function createProgram(io: Io, execute: Execute): Command {
  const program = new Command('kv')
    .description('Reads and writes the keys of a QuorumKV cluster, and looks at the cluster itself.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'explain a command')
    .addHelpCommand(new Command('help').argument('[command]').description('explain a command').helpGroup('Help:'))
    .configureHelp({ showGlobalOptions: true })
    .usage('[options] <command>')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      // Errors are told in one place, as a sentence or as JSON.
      outputError: () => undefined,
      getOutHasColors: () => coloursFor(io.stdout, io.env).isColorSupported,
      getErrHasColors: () => coloursFor(io.stderr, io.env).isColorSupported,
    })
    .option('--endpoints <host:port,…>', `any members of the cluster (env KV_ENDPOINTS, default ${defaultEndpoint})`)
    .option('--json', 'print JSON: for programs')
    .addOption(
      new Option('--consistency <level>', 'how many replicas must take part (default: quorum)').choices([
        'one',
        'quorum',
        'all',
      ]),
    )
    .option('--timeout <ms>', 'how long a request may take, in milliseconds or as 5s (default: 5s)', (text) =>
      parseDuration(text, '--timeout', true),
    )
    .addHelpText('after', help)
  const registrations = [registerGet, registerPut, registerDelete, registerMget, registerScan]
  for (const register of [...registrations, registerImport, registerExport]) register(program, execute)
  const ofCluster = [
    registerStatus,
    registerRing,
    registerPartition,
    registerSnapshot,
    registerRepair,
    registerNode,
    registerRaiseLevel,
    registerBench,
  ]
  for (const register of ofCluster) register(program, execute)
  registerCompletion(program, execute)
  return program
}

const help = `
Examples:
  kv put user:1 Ada && kv get user:1
  kv --endpoints 10.0.0.1:50051,10.0.0.2:50051 status
  kv export backup.jsonl.gz --gzip
  kv help import

Exit status: 0 done, 1 failed, 2 the command line is wrong, 3 there is no such key.`

function version(): string {
  // The same place from src/ and from dist/.
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function globalsOf(program: Command, io: Io): GlobalOptions {
  const { endpoints, json, consistency, timeout } = program.opts<ParsedGlobals>()
  return { endpoints: endpointsOf(endpoints, io), json: json === true, consistency, timeoutMs: timeout }
}

function endpointsOf(given: string | undefined, io: Io): string[] {
  const text = given ?? (io.env['KV_ENDPOINTS'] || defaultEndpoint)
  const endpoints = text
    .split(',')
    .map((endpoint) => endpoint.trim())
    .filter((endpoint) => endpoint !== '')
  if (endpoints.length === 0) throw new UsageError('--endpoints', '--endpoints must name at least one host:port')
  return endpoints
}

function contextOf(program: Command, io: Io, connect: Connect, clients: Client[]): Context {
  const options = globalsOf(program, io)
  const another = (more: Partial<KvClientOptions>): Client => {
    const made = connect({
      endpoints: options.endpoints,
      consistency: options.consistency,
      // What waits for the end of something long may have more time than one call.
      timeoutMs: options.timeoutMs === undefined ? undefined : Math.min(options.timeoutMs, limits.callMsMax),
      failWhenRefused: true,
      ...more,
    })
    clients.push(made)
    return made
  }
  let first: Client | undefined
  const client = (): Client => {
    first ??= another({})
    return first
  }
  return { io, options, colours: coloursFor(io.stdout, io.env), client, connect: another }
}

async function failed(
  error: unknown,
  argv: readonly string[],
  program: Command,
  io: Io,
  clients: readonly Client[],
): Promise<number> {
  // Help and the version are not failures; help that is shown because the command is missing is one.
  if (error instanceof CommanderError && (error.exitCode === 0 || error.code === 'commander.help')) {
    return error.exitCode === 0 ? exitStatus.done : exitStatus.usage
  }
  // What was parsed before the error decides; a command line that could not be parsed may still ask for JSON.
  const json = program.opts<ParsedGlobals>().json === true || argv.includes('--json')
  const surroundings = {
    endpoints: endpointsForReport(program, io),
    reached: clients.some((client) => client.stats().epoch > 0),
  }
  const report = explain(error, surroundings)
  if (report === undefined) return exitStatus.pipeClosed
  const { status, ...told } = report
  const usageHint = status === exitStatus.usage && told.hint === undefined ? helpHint(argv, program) : told.hint
  try {
    if (json) await writeJson(io.stderr, { error: told })
    else await write(io.stderr, `${sentence({ ...report, hint: usageHint })}\n`)
  } catch (cause) {
    if (!(cause instanceof OutputClosedError)) throw cause
  }
  return status
}

function helpHint(argv: readonly string[], program: Command): string {
  const command = program.commands.find((one) => argv.includes(one.name()))
  return `See \`kv help${command === undefined ? '' : ` ${command.name()}`}\`.`
}

function endpointsForReport(program: Command, io: Io): readonly string[] {
  try {
    return globalsOf(program, io).endpoints
  } catch (error) {
    if (error instanceof UsageError) return []
    throw error
  }
}
