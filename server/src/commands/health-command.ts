import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChannelCredentials, Client, credentials, logVerbosity, setLogVerbosity, status } from '@grpc/grpc-js'
import { FatalError } from '@quorumkv/internal/base'
import { Command, Option } from 'commander'
import { formatAddress, isWildcard, parseListenAddresses } from '../config/addresses.js'
import { parseDurationMs, parseWhole } from '../config/units.js'
import { type Output, parseOptions } from './options.js'

const dayMs = 86_400_000
/** A node answers at once or not at all. */
const answerMs = 2_000
const betweenMs = 200

const epilogue = `
Asks grpc.health.v1.Health whether this node answers requests for keys: what containers, units and scripts want to know.
With TLS the certificate is checked against --tls-ca where that is given; its name is not, since this machine is asked.

Exit status: 0 serving, 1 not serving or no answer, 2 usage.

Examples:
  kv-server health
  kv-server health --addr 127.0.0.1:50051 --wait 60s
`

interface Target {
  readonly address: string
  readonly credentials: ChannelCredentials
}

type Given = (flag: string) => string | undefined

function fileOf(given: Given, flag: string): Buffer | null {
  const path = given(flag)
  if (path === undefined) return null
  try {
    return readFileSync(path)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new FatalError('usage', `--${flag}: cannot read ${path}: ${why}`, error)
  }
}

/** What listens everywhere is asked where this machine is. */
function targetOf(given: Given): Target {
  const [first] = parseListenAddresses(given('addr') ?? ':50051', '--addr')
  const { host, port } = first!
  const address = formatAddress(isWildcard(host) ? '127.0.0.1' : host, port)
  const encrypted = given('tls-cert') !== undefined || given('tls-ca') !== undefined
  if (!encrypted) return { address, credentials: credentials.createInsecure() }
  const ca = fileOf(given, 'tls-ca')
  const options = { rejectUnauthorized: ca !== null, checkServerIdentity: () => undefined }
  const tls = credentials.createSsl(ca, fileOf(given, 'tls-key'), fileOf(given, 'tls-cert'), options)
  return { address, credentials: tls }
}

/** An empty HealthCheckRequest: the whole server is meant. */
const serializeRequest = (): Buffer => Buffer.alloc(0)

/** HealthCheckResponse: `status` is field 1, a number below 128; SERVING is 1. */
function isServing(response: Buffer): boolean {
  return response.length >= 2 && response[0] === 0x08 && response[1] === 1
}

/** Empty: it serves, or with `alive` answers at all. Else why not, for people. */
function obstacleOf(client: Client, alive: boolean): Promise<string> {
  return new Promise((resolve) => {
    const deadline = Date.now() + answerMs
    const path = '/grpc.health.v1.Health/Check'
    client.makeUnaryRequest(path, serializeRequest, isServing, undefined, { deadline }, (error, serving) => {
      if (error === null) resolve(alive || serving === true ? '' : 'not serving')
      else if (error.code === status.DEADLINE_EXCEEDED) resolve('no answer')
      else resolve(error.details)
    })
  })
}

/** Whether there is such a process, of whomever. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    if ((error as NodeJS.ErrnoException).code === 'EPERM') return true
    throw error
  }
}

/** `pid`: of the node, whose end ends the waiting. */
async function waitFor(client: Client, alive: boolean, untilMs: number, pid: number | undefined): Promise<string> {
  for (;;) {
    const obstacle = await obstacleOf(client, alive)
    if (obstacle === '' || Date.now() >= untilMs) return obstacle
    if (pid !== undefined && !isRunning(pid)) return `process ${pid} has ended`
    await sleep(betweenMs)
  }
}

/**
 * `kv-server health`: asks a running node whether it serves, and waits for it if told to. Settings of the node itself that
 * matter (`KV_ADDR`, `KV_TLS_…`) are taken from the environment. Returns the exit status; throws FatalError `usage`.
 */
export async function runHealth(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  output: Output,
): Promise<number> {
  const command = new Command('kv-server health')
    .description('Tells whether a node serves.')
    .addOption(new Option('--addr <[host]:port>', 'where it listens (env KV_ADDR, default :50051)'))
    .addOption(new Option('--wait <duration>', 'how long to wait until it does (default: not at all)'))
    .addOption(new Option('--pid <n>', 'the process of the node: when it has ended, nothing is waited for any more'))
    .addOption(new Option('--alive', 'ask only whether it answers'))
    .addOption(new Option('--tls-ca <file>', 'who its certificate must come from (env KV_TLS_CA)'))
    .addOption(new Option('--tls-cert <file>', 'a certificate to show it (env KV_TLS_CERT)'))
    .addOption(new Option('--tls-key <file>', 'the key of that (env KV_TLS_KEY)'))
    .addOption(new Option('--quiet', 'print nothing'))
    .addHelpText('after', epilogue)
  const options = parseOptions(command, argv, output)
  if (options === undefined) return 0
  const given: Given = (flag) => {
    const named = options[flag.replace(/-[a-z]/g, (part) => part[1]!.toUpperCase())]
    const value = typeof named === 'string' ? named : environment[`KV_${flag.replaceAll('-', '_').toUpperCase()}`]
    return value === '' ? undefined : value
  }
  const wait = options['wait']
  const waitMs = typeof wait === 'string' ? parseDurationMs(wait, '--wait', 0, dayMs) : 0
  const pid = options['pid']
  const nodePid = typeof pid === 'string' ? parseWhole(pid, '--pid', 1, 4_194_304) : undefined
  const target = targetOf(given)
  setLogVerbosity(logVerbosity.NONE)
  // A node that comes up is to be seen at once.
  const client = new Client(target.address, target.credentials, {
    'grpc.initial_reconnect_backoff_ms': betweenMs,
    'grpc.max_reconnect_backoff_ms': betweenMs,
    // An address is no name that TLS may ask for, and Node.js warns of it; which name it is does not matter here.
    'grpc.ssl_target_name_override': 'localhost',
  })
  try {
    const alive = options['alive'] === true
    const obstacle = await waitFor(client, alive, Date.now() + waitMs, nodePid)
    if (options['quiet'] !== true)
      output.out(`${target.address}: ${obstacle !== '' ? obstacle : alive ? 'alive' : 'serving'}\n`)
    return obstacle === '' ? 0 : 1
  } finally {
    client.close()
  }
}
