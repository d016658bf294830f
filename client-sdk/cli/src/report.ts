import { KvError } from '@quorumkv/client'
import { CommanderError } from 'commander'
import { exitStatus, FailedError, InterruptedError, UsageError } from './exit.js'
import { BadInputError, PutFailedError } from './import/importer.js'
import { OutputClosedError } from './output.js'

/** What is told about a failure, as a sentence or as JSON, and what the program exits with. */
export interface Report {
  readonly status: number
  /** A KvError's code, `invalid-argument` for a wrong command line too; or `bad-input`, `failed`, `interrupted`, `bug`. */
  readonly code: string
  readonly message: string
  /** What to try next. */
  readonly hint?: string | undefined
  /** The argument or option that is wrong. */
  readonly field?: string | undefined
  /** Of a failed write: whether it was certainly not applied. */
  readonly outcome?: string | undefined
  readonly retryable?: boolean | undefined
  /** Of an import: the first line that has to be looked at. */
  readonly line?: number | undefined
}

/** What is known about the cluster when something fails. */
export interface Surroundings {
  readonly endpoints: readonly string[]
  /** Whether any node has answered since the program began. */
  readonly reached: boolean
}

/** Undefined: nothing is to be said, because nobody is there to read it; the status is `pipeClosed`. */
export function explain(error: unknown, surroundings: Surroundings): Report | undefined {
  if (error instanceof OutputClosedError) return undefined
  if (error instanceof UsageError) {
    return { status: exitStatus.usage, code: 'invalid-argument', message: error.message, field: error.field }
  }
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ')
    return { status: exitStatus.usage, code: 'invalid-argument', message, field: fieldIn(error) }
  }
  if (error instanceof FailedError) {
    const hint = error.hint ?? fileHint(error.cause)
    return { status: exitStatus.failed, code: 'failed', message: error.message, hint }
  }
  if (error instanceof InterruptedError) {
    return { status: error.status, code: 'interrupted', message: error.message }
  }
  if (error instanceof BadInputError) {
    const hint = 'Correct the line, or pass over bad lines with --skip-bad.'
    return { status: exitStatus.failed, code: 'bad-input', message: error.message, hint, line: error.line }
  }
  if (error instanceof PutFailedError) {
    const report = explainKvError(error.cause, surroundings)
    return { ...report, status: exitStatus.failed, message: error.message, outcome: undefined, line: error.line }
  }
  if (error instanceof KvError) return explainKvError(error, surroundings)
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { status: exitStatus.failed, code: 'bug', message: `this is a bug in kv, please report it: ${message}` }
}

/** What the parser says is wrong: an option (`--ttl` of `--ttl <duration>`), an argument, or the command. */
function fieldIn({ code, message }: CommanderError): string | undefined {
  if (code === 'commander.unknownCommand') return 'command'
  return /'(?:-\w, )?([^' ]+)/.exec(message)?.[1]
}

/** Options of the client that are said by an option of another name here. */
const optionOf: ReadonlyMap<string, string> = new Map([
  ['by', '--by'],
  ['consistency', '--consistency'],
  ['endpoints', '--endpoints'],
  ['timeoutMs', '--timeout'],
  ['tokenFile', '--token-file'],
  ['ttlMs', '--ttl'],
])

function explainKvError(error: KvError, surroundings: Surroundings): Report {
  const { code, outcome, retryable } = error
  const field = error.field === undefined ? undefined : (optionOf.get(error.field) ?? error.field)
  const status = code === 'invalid-argument' ? exitStatus.usage : exitStatus.failed
  const silent = (code === 'unavailable' || code === 'timeout') && !surroundings.reached
  const message = silent ? `no node answers at ${surroundings.endpoints.join(', ')}: ${error.message}` : error.message
  const hint = silent ? silentHint(error, surroundings.endpoints) : hintFor(error)
  return { status, code, message, hint, field, outcome, retryable }
}

/** What the first error of all says, which is the one that a socket or a file system gave. */
function rootOf(error: unknown): string {
  return error instanceof Error ? `${error.message} ${rootOf(error.cause)}` : ''
}

/** Nobody has answered yet: the address is the first suspect, and how it failed says in what way. */
function silentHint(error: KvError, endpoints: readonly string[]): string {
  const root = rootOf(error)
  if (/ENOTFOUND|EAI_AGAIN|Name resolution failed/i.test(root)) {
    return 'There is no host of that name: look at --endpoints (or KV_ENDPOINTS), or at the DNS of this machine.'
  }
  if (/no encrypted connection|after the TLS handshake/.test(root)) {
    return 'Look at --tls-ca, --tls-cert and --tls-key, and at the certificate there: `kv-server certs show FILE`.'
  }
  if (/it may want TLS/.test(root))
    return 'Encrypt: --tls-ca names the authorities to trust, --tls trusts those of this machine.'
  if (/Protocol error|Parse Error|not a QuorumKV node|wrong version number|ERR_HTTP2/i.test(root)) {
    return (
      'Something else than gRPC without TLS is spoken there: name the port of `--addr` (50051, say), and not that of ' +
      '`--http-addr`; or does the node want TLS (--tls-ca)?'
    )
  }
  if (/EHOSTUNREACH|ENETUNREACH/.test(root))
    return 'There is no way to that host: is the network up, the address right?'
  if (/did not answer within/.test(root)) {
    return 'The port is open, or a firewall drops what is sent: is it a node that listens there, and not stopped or overloaded?'
  }
  if (error.code === 'timeout' && !/ECONNREFUSED/.test(root)) {
    return 'Allow more time with --timeout, or look whether a server is running there.'
  }
  const port = /:(\d+)$/.exec(endpoints[0] ?? '')?.[1] ?? '50051'
  return `Is a server running there? Start one with \`kv-server --addr :${port}\`, or name another with --endpoints.`
}

function hintFor({ code, field }: KvError): string | undefined {
  switch (code) {
    case 'unavailable':
      return 'See with `kv status` which members are down.'
    case 'timeout':
      return 'Allow more time with --timeout, or see with `kv status` which members are down.'
    case 'overloaded':
      return 'The cluster is busy: try again later, or send less at a time.'
    case 'read-only':
      return 'Make room on the disks of the nodes: they take writes again by themselves.'
    case 'not-text':
      return 'Use --json, which shows such bytes as base64.'
    case 'unauthenticated':
      return 'Show a token that is valid: --token-file FILE, or KV_TOKEN. Who runs the cluster makes one with `kv auth create`.'
    case 'permission-denied':
      return 'Ask who runs the cluster for a token that may do this (`kv auth list` shows what tokens may).'
    case 'invalid-argument':
      if (field === 'token') return 'Encrypt, by --tls or --tls-ca; or say --insecure where nobody else can listen.'
      return field === 'endpoints' ? 'Write it as in --endpoints 127.0.0.1:50051, without http://.' : undefined
    case 'internal':
      return 'The log of the node may say more; see with `kv status` whether all run the same version.'
    case 'cancelled':
    case 'closed':
    case 'not-valid':
      return undefined
    default:
      return code satisfies never
  }
}

const fileHints: Readonly<Record<string, string>> = {
  ENOENT: 'Check the path: there is no such file or directory.',
  EACCES: 'You may not: look at its owner and mode with `ls -l`, or choose another path.',
  EPERM: 'You may not: look at its owner and mode with `ls -l`, or choose another path.',
  EISDIR: 'That is a directory: name a file in it.',
  ENOTDIR: 'Part of the path is a file and no directory.',
  ENOSPC: 'The disk is full: make room, or choose another path.',
  EROFS: 'The file system is read-only: choose another path.',
  EIO: 'The disk fails: see `dmesg`, and choose another one.',
  EMFILE: 'Too many files are open: see `ulimit -n`.',
}

/** What to do about a file that could not be had. */
function fileHint(cause: unknown): string | undefined {
  return cause instanceof Error ? fileHints[(cause as NodeJS.ErrnoException).code ?? ''] : undefined
}

/** The sentence for people. */
export function sentence(report: Report): string {
  const parts = [/[.?!]$/.test(report.message) ? report.message : `${report.message}.`]
  // Of what is wrong on the command line nobody expects that it was done.
  if (report.outcome === 'not-applied' && report.status !== exitStatus.usage) parts.push('Nothing was written.')
  if (report.outcome === 'unknown') parts.push('The write may have been applied, or may yet be: read the key to see.')
  if (report.hint !== undefined) parts.push(report.hint)
  return `kv: ${parts.join(' ')}`
}
