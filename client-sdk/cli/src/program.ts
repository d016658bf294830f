import { readFileSync } from 'node:fs'
import type { KvClientOptions } from '@quorumkv/client'
import { Command, CommanderError, Option } from 'commander'
import { registerAuth } from './commands/auth.js'
import { registerBackup } from './commands/backup.js'
import { registerBench } from './commands/bench.js'
import { registerCompletion } from './commands/completion.js'
import { registerDelete } from './commands/delete.js'
import { registerDev } from './commands/dev.js'
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
import { registerShell } from './commands/shell.js'
import { registerSnapshot } from './commands/snapshot.js'
import { registerStatus } from './commands/status.js'
import { registerTtl } from './commands/ttl.js'
import type { Client, Connect, Context, Execute, GlobalOptions, OutputForm } from './context.js'
import { parseDuration } from './duration.js'
import { exitStatus, UsageError } from './exit.js'
import type { Io } from './io.js'
import { limits } from './limits.js'
import { coloursFor, OutputClosedError, plainColours, write, writeJson } from './output.js'
import { explain, sentence } from './report.js'
import { registerInside } from './shell/commands.js'
import type { Register } from './shell/shell.js'
import { visible } from './text.js'
import { addTlsOptions, type TlsFlags, tlsOptionsOf, tlsPathsOf } from './tls-options.js'

const defaultEndpoint = '127.0.0.1:50051'

interface ParsedGlobals extends TlsFlags {
  readonly endpoints?: string
  readonly json?: true
  readonly output?: OutputForm
  readonly consistency?: GlobalOptions['consistency']
  readonly timeout?: number
  readonly tokenFile?: string
  readonly insecure?: boolean
}

/**
 * Runs one command line (without the names of node and of the script) and resolves to its exit status. Never rejects:
 * what goes wrong is told on standard error. Every client that was made is closed.
 */
export async function run(
  argv: readonly string[],
  io: Io,
  connect: Connect,
  register: Register = registerOutside,
): Promise<number> {
  // The writes themselves report their failures; without a listener the stream's event would end the process.
  for (const output of [io.stdout, io.stderr])
    if (!output.listeners('error').includes(ignore)) output.on('error', ignore)
  const clients: Client[] = []
  let status: number = exitStatus.done
  const program = createProgram(
    io,
    async (command) => {
      status = await command(contextOf(program, io, connect, clients))
    },
    register,
  )
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    status = await failed(error, argv, program, io, clients, register !== registerOutside)
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
  return status
}

function ignore(): void {}

/** The commands that make no sense in the shell. */
function registerOutside(program: Command, execute: Execute): void {
  registerShell(program, execute, run, (shell) =>
    // Only looked at: what it prints goes nowhere, and nothing is executed.
    createProgram(
      shell.context.io,
      async () => undefined,
      (inside, execute) => registerInside(inside, execute, shell),
    ),
  )
  registerDev(program, execute)
  registerCompletion(program, execute)
}

/**
 * The command line's grammar and help. `execute` is called once, with the command that was chosen; `register` adds the
 * commands that are not everywhere.
 */
export function createProgram(io: Io, execute: Execute, register: Register): Command {
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
    .addOption(
      new Option('-o, --output <form>', 'print as a table for people, as JSON, or bytes as they are').choices([
        'table',
        'json',
        'raw',
      ]),
    )
    .option('--json', 'print JSON: the same as -o json')
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
    .option(
      '--token-file <path>',
      'a file with the token that says who calls (env KV_TOKEN_FILE, or the token in KV_TOKEN)',
    )
    .option('--insecure', 'show the token to other machines without TLS too (env KV_INSECURE): others may read it')
    .addHelpText('after', help)
  addTlsOptions(program)
  const registrations = [registerGet, registerPut, registerDelete, registerTtl, registerMget, registerScan]
  for (const register of [...registrations, registerImport, registerExport, registerBackup]) register(program, execute)
  const ofCluster = [
    registerStatus,
    registerRing,
    registerPartition,
    registerSnapshot,
    registerRepair,
    registerNode,
    registerRaiseLevel,
    registerAuth,
    registerBench,
  ]
  for (const register of ofCluster) register(program, execute)
  register(program, execute)
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
  const { endpoints, json, output, consistency, timeout, tokenFile, insecure, ...tls } = program.opts<ParsedGlobals>()
  if (json === true && output !== undefined && output !== 'json') {
    throw new UsageError('--output', `--json and --output ${output} contradict each other: give one of them`)
  }
  const form = json === true ? 'json' : output
  const asJson = form === 'json'
  const file = tokenFile ?? (io.env['KV_TOKEN_FILE'] || undefined)
  const open = insecure ?? ['1', 'true'].includes(io.env['KV_INSECURE'] ?? '')
  const common = { consistency, timeoutMs: timeout, tokenFile: file, insecure: open, tls: tlsPathsOf(tls, io) }
  return { endpoints: endpointsOf(endpoints, io), json: asJson, output: form, ...common }
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
      tls: tlsOptionsOf(options.tls),
      tokenFile: options.tokenFile,
      insecure: options.insecure,
      token: options.tokenFile === undefined ? io.env['KV_TOKEN'] || undefined : undefined,
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
  const terminal = io.stdout.isTTY === true
  const raw = options.output === 'raw'
  const colours = raw ? plainColours : coloursFor(io.stdout, io.env)
  // A terminal that does not know its size, inside a container for instance, says 0.
  const look = { colours, columns: terminal && !raw ? io.stdout.columns || undefined : undefined, raw }
  const shown = options.output === 'table' || (terminal && !raw)
  return { io, options, colours, look, shown, client, connect: another }
}

async function failed(
  error: unknown,
  argv: readonly string[],
  program: Command,
  io: Io,
  clients: readonly Client[],
  inShell: boolean,
): Promise<number> {
  // Help and the version are not failures; help that is shown because the command is missing is one.
  if (error instanceof CommanderError && (error.exitCode === 0 || error.code === 'commander.help')) {
    return error.exitCode === 0 ? exitStatus.done : exitStatus.usage
  }
  // What was parsed before the error decides; a command line that could not be parsed may still ask for JSON.
  const json = asksForJson(argv, program)
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
    else {
      // A node, a file or a codec may have put anything into its words.
      const text = visible(sentence({ ...report, hint: usageHint }), '\n\t')
      // What is to be typed there has no `kv` in front.
      await write(io.stderr, `${inShell ? text.replace(/`kv (?=[a-z])/g, '`') : text}\n`)
    }
  } catch (cause) {
    if (!(cause instanceof OutputClosedError)) throw cause
  }
  return status
}

function asksForJson(argv: readonly string[], program: Command): boolean {
  const { json, output } = program.opts<ParsedGlobals>()
  if (json === true || output === 'json') return true
  return argv.some(
    (word, i) =>
      /^(--json|-ojson|--output=json)$/.test(word) || (word === 'json' && /^(-o|--output)$/.test(argv[i - 1] ?? '')),
  )
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
