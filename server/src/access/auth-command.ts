import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { FatalError, KvError } from '@quorumkv/internal/base'
import { canonicalPrefixes, parsePrincipalName, type Role, roles } from '@quorumkv/internal/slots'
import { nameInToken, newToken, tokenHash } from '@quorumkv/proto/tokens'
import { Command, CommanderError, Option } from 'commander'
import { stringify } from 'yaml'

/** Where a command writes what it was asked for. */
export interface AuthOutput {
  readonly out: (text: string) => void
}

interface Entry {
  readonly name: string
  readonly role: Role
  readonly tokenSha256: string
  readonly prefixes?: readonly string[]
}

const header = `# Principals of a QuorumKV node (--auth-file). Readable by its owner only; read again when it changes. Tokens are not in it,
# only their SHA-256. A principal may also have prefixes: [text], prefixesBase64: [base64], expires: 2030-01-31T00:00:00Z.
`

function build(output: AuthOutput, readToken: () => Promise<string>, done: (work: Promise<void>) => void): Command {
  const command = new Command('kv-server auth')
    .description('Makes what stands in an --auth-file.')
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => undefined })
  const name = new Option('--name <name>', 'of the principal').default('admin')
  const role = new Option('--role <role>', 'what it may do').choices([...roles]).default('admin')
  command
    .command('init')
    .description('makes a file with one admin, and prints the token of that, once')
    .requiredOption('--auth-file <path>', 'the file; it must not be there yet')
    .addOption(name)
    .action((options: { authFile: string; name: string }) => init(options, output))
  command
    .command('hash')
    .description('prints the entry of a principal for such a file: with a new token, or for the one on standard input')
    .addOption(name)
    .addOption(role)
    .option('--prefix <text...>', 'what its keys begin with (default: it may use all keys)')
    .option('--stdin', 'read the token')
    .action((options: HashOptions) => done(hash(options, output, readToken)))
  return command
}

interface HashOptions {
  readonly name: string
  readonly role: Role
  readonly prefix?: readonly string[]
  readonly stdin?: boolean
}

function init({ authFile, name }: { readonly authFile: string; readonly name: string }, { out }: AuthOutput): void {
  const token = newToken(parsePrincipalName(name, '--name'))
  const entry: Entry = { name, role: 'admin', tokenSha256: tokenHash(token).toString('hex') }
  let file: number
  try {
    file = openSync(authFile, 'wx', 0o600)
  } catch (error) {
    throw new FatalError('usage', `cannot make ${authFile}: ${(error as Error).message}`, error)
  }
  writeSync(file, header + stringify({ principals: [entry] }))
  fsyncSync(file)
  closeSync(file)
  out(`${token}\n`)
}

async function hash(options: HashOptions, { out }: AuthOutput, readToken: () => Promise<string>): Promise<void> {
  const { role, prefix = [], stdin = false } = options
  canonicalPrefixes(prefix.map((text) => Buffer.from(text)))
  const token = stdin ? (await readToken()).trim() : newToken(parsePrincipalName(options.name, '--name'))
  const name = nameInToken(token)
  if (name === undefined) throw new FatalError('usage', 'what stands on standard input is no token ("qkv_<name>_…")')
  const entry: Entry = {
    name,
    role,
    tokenSha256: tokenHash(token).toString('hex'),
    ...(prefix.length === 0 ? {} : { prefixes: prefix }),
  }
  if (!stdin) out(`# token: ${token}\n`)
  out(stringify([entry]))
}

/**
 * `kv-server auth …`: `argv` is what follows. Resolves to the exit status; throws FatalError `usage`, and KvError
 * `invalid-argument`.
 */
export async function runAuth(
  argv: readonly string[],
  output: AuthOutput,
  readToken: () => Promise<string>,
): Promise<number> {
  let work = Promise.resolve()
  const command = build(output, readToken, (promise) => {
    work = promise
  })
  try {
    command.parse([...argv], { from: 'user' })
  } catch (error) {
    if (error instanceof KvError || error instanceof FatalError) throw error
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.helpDisplayed' || error.code === 'commander.help') return 0
    throw new FatalError('usage', `${error.message.replace(/^error: /, '')}; see kv-server auth --help`, error)
  }
  await work
  return 0
}
