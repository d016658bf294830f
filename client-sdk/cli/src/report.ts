import { KvError } from '@quorumkv/client'
import { CommanderError } from 'commander'
import { exitStatus, FailedError, InterruptedError, UsageError } from './exit.js'
import { BadInputError, PutFailedError } from './import/importer.js'
import { OutputClosedError } from './output.js'

/** What is told about a failure, as a sentence or as JSON, and what the program exits with. */
export interface Report {
  readonly status: number
  /** A KvError's code, or `usage`, `bad-input`, `failed`, `interrupted`, `bug`. */
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
    return { status: exitStatus.usage, code: 'usage', message: error.message, field: error.field }
  }
  if (error instanceof CommanderError) {
    return {
      status: exitStatus.usage,
      code: 'usage',
      message: error.message.replace(/^error: /, '').replaceAll('\n', ' '),
    }
  }
  if (error instanceof FailedError) {
    return { status: exitStatus.failed, code: 'failed', message: error.message, hint: error.hint }
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

function explainKvError(error: KvError, surroundings: Surroundings): Report {
  const { code, field, outcome, retryable } = error
  const status = code === 'invalid-argument' ? exitStatus.usage : exitStatus.failed
  const silent = (code === 'unavailable' || code === 'timeout') && !surroundings.reached
  const message = silent ? `no node answers at ${surroundings.endpoints.join(', ')}: ${error.message}` : error.message
  const hint = silent ? silentHint(surroundings.endpoints) : hintFor(error)
  return { status, code, message, hint, field, outcome, retryable }
}

function silentHint(endpoints: readonly string[]): string {
  const port = /:(\d+)$/.exec(endpoints[0] ?? '')?.[1] ?? '50051'
  return `Is a server running there? Start one with \`kv-server --addr :${port}\`, or name another with --endpoints.`
}

function hintFor({ code }: KvError): string | undefined {
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
    case 'permission-denied':
    case 'invalid-argument':
    case 'cancelled':
    case 'closed':
    case 'not-valid':
    case 'internal':
      return undefined
    default:
      return code satisfies never
  }
}

/** The sentence for people. */
export function sentence(report: Report): string {
  const parts = [/[.?!]$/.test(report.message) ? report.message : `${report.message}.`]
  if (report.outcome === 'not-applied') parts.push('Nothing was written.')
  if (report.outcome === 'unknown') parts.push('The write may have been applied, or may yet be: read the key to see.')
  if (report.hint !== undefined) parts.push(report.hint)
  return `kv: ${parts.join(' ')}`
}
