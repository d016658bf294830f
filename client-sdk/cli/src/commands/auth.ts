import type { PrincipalInfo, Role } from '@quorumkv/client'
import { type Command, Option } from 'commander'
import { examples, textArgument } from '../arguments.js'
import { confirm } from '../confirm.js'
import type { Context, Execute } from '../context.js'
import { parseDuration } from '../duration.js'
import { exitStatus, FailedError, UsageError } from '../exit.js'
import { write, writeJson } from '../output.js'
import { table } from '../table.js'
import { visible } from '../text.js'

interface CreateFlags {
  readonly role: Role
  readonly prefix?: readonly string[]
  readonly expires?: number
}

interface RevokeFlags {
  readonly yes?: true
}

/** `kv auth`: who may call. */
export function registerAuth(program: Command, execute: Execute): void {
  const auth = program
    .command('auth')
    .summary('who may call: list, let in, throw out')
    .description(
      'Principals and their tokens, where nodes were started with --auth-file. All members agree on them; changing them takes ' +
        'the role admin.',
    )
    .helpGroup('Cluster:')
    .addHelpText(
      'after',
      examples(
        'kv auth list --token-file admin.token',
        'kv auth create app --role write --prefix app/ > app.token',
        'kv auth create reports --role read --expires 30d',
        'kv auth revoke app',
      ),
    )
  auth
    .command('list')
    .summary('show who may call, and what')
    .description('Shows principals with their roles and prefixes. Tokens cannot be shown: nobody has them.')
    .action(() => execute(list))
  auth
    .command('create <name>')
    .summary('let somebody in, and print the token')
    .description(
      'Makes a token and prints it on standard output: the only time that anybody sees it. Nodes get its hash. To change the ' +
        'token of somebody, create another name, and revoke the old one when nobody uses it any more.',
    )
    .addOption(
      new Option('--role <role>', 'what it may do; each includes the one before')
        .choices(['read', 'write', 'admin'])
        .makeOptionMandatory(),
    )
    .option('--prefix <prefix...>', 'its keys begin with this (default: it may use all keys)')
    .option('--expires <duration>', 'for how long it is valid: 30d, say (default: for ever)', (text) =>
      parseDuration(text, '--expires'),
    )
    .action((name: string, flags: CreateFlags) => execute((context) => create(context, name, flags)))
  auth
    .command('revoke <name>')
    .summary('let somebody in no more')
    .description('Ends at once what it has running, at each member as soon as that has heard of it.')
    .option('--yes', 'do not ask')
    .action((name: string, flags: RevokeFlags) => execute((context) => revoke(context, name, flags)))
}

async function list({ io, client, options, look }: Context): Promise<number> {
  const { revision, principals, openMembers } = await client().operator.principals({ timeoutMs: options.timeoutMs })
  if (options.json) {
    const told = principals.map(({ prefixes, createdAt, expiresAt, ...principal }) => ({
      ...principal,
      prefixesBase64: prefixes.map((prefix) => Buffer.from(prefix).toString('base64')),
      createdAt: createdAt?.toISOString() ?? null,
      expiresAt: expiresAt?.toISOString() ?? null,
    }))
    await writeJson(io.stdout, { revision, principals: told, openMembers })
    return exitStatus.done
  }
  const rows = principals.map((principal) => rowOf(principal))
  await write(io.stdout, table(look, ['name', 'role', 'keys', 'expires', 'from'], rows, ['from']))
  if (openMembers.length > 0) {
    const text = `${openMembers.join(', ')} let in anybody: start them with --auth-file`
    await write(io.stderr, `${text}\n`)
  }
  return exitStatus.done
}

function rowOf({ name, role, prefixes, createdAt, expiresAt, inFile }: PrincipalInfo): string[] {
  const keys = prefixes.map((prefix) => visible(Buffer.from(prefix).toString())).join(' ')
  const from = inFile ? 'auth file' : (createdAt?.toISOString().slice(0, 10) ?? '')
  return [name, role, keys === '' ? 'all' : keys, expiresAt?.toISOString().replace('.000Z', 'Z') ?? 'never', from]
}

async function create({ io, client, options }: Context, name: string, flags: CreateFlags): Promise<number> {
  const { role, prefix = [], expires } = flags
  const prefixes = prefix.map((text) => textArgument(text, '--prefix', 'prefixes are text here'))
  const expiresAt = expires === undefined ? undefined : new Date(Date.now() + expires)
  const { timeoutMs } = options
  const { token, revision } = await client().operator.createPrincipal(name, { role, prefixes, expiresAt, timeoutMs })
  if (options.json) await writeJson(io.stdout, { name, role, token, revision })
  else {
    await write(io.stdout, `${token}\n`)
    await write(io.stderr, `${name} may ${role}. Keep the token: it cannot be shown again.\n`)
  }
  return exitStatus.done
}

async function revoke({ io, client, options }: Context, name: string, { yes }: RevokeFlags): Promise<number> {
  if (yes !== true) {
    if (options.json) throw new UsageError('--yes', 'with --json nobody is asked: say --yes to go ahead')
    const question = `let ${visible(name)} in no more, and end what it has running?`
    if (!(await confirm(io, question))) throw new FailedError('nothing was changed')
  }
  const revision = await client().operator.revokePrincipal(name, { timeoutMs: options.timeoutMs })
  if (options.json) await writeJson(io.stdout, { name, revision })
  else await write(io.stdout, `${visible(name)} is let in no more\n`)
  return exitStatus.done
}
