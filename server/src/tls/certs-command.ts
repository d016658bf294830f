import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { FatalError, invalidArgument, parseNodeId } from '@quorumkv/internal/base'
import { Command, CommanderError } from 'commander'
import { parseWhole } from '../config/units.js'
import type { CertificateDirectory, Hosts, Wanted } from './certs-files.js'
import { ClusterSecret } from './cluster-secret.js'
import { certificatesIn, subjectText } from './material.js'
import { isPrincipal } from './names.js'

/** Where a command writes what it was asked for. */
export interface CertsOutput {
  readonly out: (text: string) => void
}

const dayMs = 86_400_000
const epilogue = `
For trying things out, and for clusters whose owner has no authority of their own. Who has ca.key can pass for any node: keep it
where no node runs. A node's certificate holds for that node alone, wherever it runs; clients check the hosts in it.

Examples:
  kv-server certs init --dir certs --nodes n1,n2,n3 --host n1=n1.example,10.0.0.1 --client app
  kv-server certs issue --dir certs --nodes n4
  kv-server certs show certs/n1.crt
  kv-server certs secret cluster.secret
`

interface IssueOptions {
  readonly dir: string
  readonly nodes?: string
  readonly host?: readonly string[]
  readonly client?: readonly string[]
  readonly days: string
}

function listOf(text: string): string[] {
  return text.split(',').flatMap((part) => (part.trim() === '' ? [] : [part.trim()]))
}

const hostName =
  /^(\*\.)?(?=.{1,253}$)[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*$/

function parseHosts(texts: readonly string[], nodes: readonly string[]): Hosts {
  const all: string[] = []
  const of = new Map<string, readonly string[]>()
  for (const text of texts) {
    const equals = text.indexOf('=')
    const hosts = listOf(text.slice(equals + 1))
    const odd = hosts.find((host) => isIP(host) === 0 && !hostName.test(host))
    if (odd !== undefined)
      throw invalidArgument('--host', `must be names or IP addresses without ports, got ${JSON.stringify(odd)}`)
    if (equals < 0) {
      all.push(...hosts)
      continue
    }
    const node = text.slice(0, equals)
    if (!nodes.includes(node)) throw invalidArgument('--host', `${JSON.stringify(node)} is none of --nodes`)
    of.set(node, [...(of.get(node) ?? []), ...hosts])
  }
  return { all, of }
}

function wantedOf({ nodes: given = '', host = [], client = [], days }: IssueOptions): Wanted {
  const nodes = listOf(given).map((id) => parseNodeId(id, '--nodes'))
  const clients = client.flatMap(listOf)
  const odd = clients.find((name) => !isPrincipal(name))
  if (odd !== undefined)
    throw invalidArgument('--client', `must be 1 to 63 characters of a-z, 0-9 and "-", got ${JSON.stringify(odd)}`)
  if (nodes.length + clients.length === 0)
    throw invalidArgument('--nodes', 'must name the nodes that get certificates, n1,n2,n3 for instance')
  return { nodes, hosts: parseHosts(host, nodes), clients, days: parseWhole(days, '--days', 1, 3_650) }
}

/** What was made, and how it is used. */
function told(directory: CertificateDirectory, names: readonly string[], { nodes, clients }: Wanted): string {
  const { path, clusterId } = directory
  const ca = join(path, 'ca.crt')
  const lines = [`cluster ${clusterId}`, ...names.map((name) => `made ${join(path, name)}.crt and its key`)]
  const [node] = nodes
  const [client] = clients
  if (node !== undefined) {
    const files = `--tls-cert ${join(path, node)}.crt --tls-key ${join(path, node)}.key --tls-ca ${ca}`
    lines.push('', 'Start each node with its own, and take ca.key away from there:', `  kv-server ${files} …`)
  }
  const own =
    client === undefined
      ? ''
      : ` --tls-cert ${join(path, `client-${client}`)}.crt --tls-key ${join(path, `client-${client}`)}.key`
  lines.push('', 'Clients:', `  kv --tls-ca ${ca}${own} status`)
  return `${lines.join('\n')}\n`
}

async function make(options: IssueOptions, fresh: boolean, { out }: CertsOutput): Promise<void> {
  const wanted = wantedOf(options)
  // What makes certificates takes a while to load, and nobody who serves needs it.
  const { CertificateDirectory } = await import('./certs-files.js')
  const nowMs = Date.now()
  const directory = fresh
    ? await CertificateDirectory.create(options.dir, nowMs)
    : await CertificateDirectory.open(options.dir)
  out(told(directory, await directory.issue(wanted, nowMs), wanted))
}

/** What people ask of a certificate. */
function show(path: string, { out }: CertsOutput): void {
  let pem: Buffer
  try {
    pem = readFileSync(path)
  } catch (error) {
    throw new FatalError(
      'usage',
      `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
      error,
    )
  }
  for (const one of certificatesIn(pem, path, 'FILE')) {
    const days = Math.floor((Date.parse(one.validTo) - Date.now()) / dayMs)
    const left = days < 0 ? 'EXPIRED' : `${days} days left`
    const lines = [
      `subject      ${subjectText(one)}`,
      `issuer       ${one.issuer.replaceAll('\n', ', ')}`,
      `valid        ${new Date(one.validFrom).toISOString()} to ${new Date(one.validTo).toISOString()} (${left})`,
      `names        ${one.subjectAltName ?? 'none'}`,
      `use          ${one.ca ? 'signs certificates' : (one.keyUsage ?? []).map((oid) => uses[oid] ?? oid).join(', ')}`,
      `fingerprint  ${one.fingerprint256}`,
    ]
    out(`${lines.join('\n')}\n\n`)
  }
}

function makeSecret(path: string, { out }: CertsOutput): void {
  try {
    ClusterSecret.write(path)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new FatalError('usage', `cannot make ${path}: ${why}`, error)
  }
  out(`made ${path}, for --cluster-secret-file of all nodes\n`)
}

/** Of RFC 5280, 4.2.1.12. */
const uses: Readonly<Record<string, string>> = { '1.3.6.1.5.5.7.3.1': 'server', '1.3.6.1.5.5.7.3.2': 'client' }

function build(output: CertsOutput, done: (work: Promise<void>) => void): Command {
  const command = new Command('kv-server certs')
    .description(
      'Makes certificates and secrets for the nodes and clients of a cluster, and shows what stands in a certificate.',
    )
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => undefined, getOutHelpWidth: () => 110 })
    .addHelpText('after', epilogue)
  const making = (name: string, description: string): Command =>
    command
      .command(name)
      .description(description)
      .requiredOption('--dir <path>', 'where the authority and the certificates are')
      .option('--nodes <id,…>', 'nodes that get a certificate')
      .option('--host <[id=]name,…>', 'names and addresses under which clients reach all nodes, or that one', collect)
      .option('--client <name,…>', 'clients that get a certificate', collect)
      .option('--days <n>', 'how long the certificates hold', '365')
  making('init', 'makes a directory with an authority for a new cluster, and certificates').action(
    (options: IssueOptions) => done(make(options, true, output)),
  )
  making('issue', 'makes more certificates there, and new ones in place of those that expire').action(
    (options: IssueOptions) => done(make(options, false, output)),
  )
  command
    .command('show')
    .description('prints what a certificate says')
    .argument('<file>', 'certificates in PEM')
    .action((file: string) => show(file, output))
  command
    .command('secret')
    .description('makes a file for --cluster-secret-file, with random bytes')
    .argument('<file>', 'a file that is not there')
    .action((file: string) => makeSecret(file, output))
  return command
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text]
}

/**
 * `kv-server certs`: `argv` is what follows. Resolves to the exit status; rejects with FatalError `usage` and `invalid-argument`.
 */
export async function runCerts(argv: readonly string[], output: CertsOutput): Promise<number> {
  let work: Promise<void> | undefined
  const command = build(output, (begun) => {
    work = begun
  })
  try {
    command.parse([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.helpDisplayed' || error.code === 'commander.help') return error.exitCode === 0 ? 0 : 2
    throw new FatalError('usage', `${error.message.replace(/^error: /, '')}; see kv-server certs --help`, error)
  }
  await work
  return 0
}
