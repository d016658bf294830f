import { FatalError } from '@quorumkv/internal/base'
import { Command, CommanderError, Option } from 'commander'
import { packageVersion } from '../package-version.js'
import { type ConfigSource, environmentSource, flagSource, type NodeConfig, resolveConfig } from './config.js'
import { kebabName, type SettingName, settingNames, settings } from './settings.js'

/** What a command line asks for. */
export type Invocation =
  | { readonly kind: 'serve'; readonly config: NodeConfig }
  | { readonly kind: 'check-config'; readonly config: NodeConfig }
  /** `--help` or `--version`: the answer. */
  | { readonly kind: 'print'; readonly text: string }

const epilogue = `
On the data directory of a node that does not run (see --help of each):
  kv-server verify --data-dir ./a [--json]   checks every byte and changes nothing
  kv-server repair --data-dir ./a [--yes]    sets what is damaged aside, after saying what is lost

For an --auth-file (see kv-server auth --help):
  kv-server auth init --auth-file ./auth.yaml   makes one with an admin, and prints the token of that
  kv-server auth hash --name app --role write   prints the entry of one more principal

Of a node that runs:
  kv-server health [--wait 60s]              tells whether it serves: status 0 or 1

Certificates for nodes and clients (see kv-server certs --help):
  kv-server certs init --dir ./certs --nodes n1,n2,n3

The limits that cannot be set as well:
  kv-server limits

Each setting can also be given as an environment variable (--data-dir: KV_DATA_DIR) or as a key of the file
(data-dir: /var/lib/kv). A flag wins over the environment, the environment over the file.

Exit status: 0 done, 2 usage or configuration, 3 the data directory is corrupt, 4 the disk failed, 5 the data directory
is in use, 6 refused by the cluster or by what a later release has written, 70 a bug.

Examples:
  kv-server --addr :50051 --data-dir ./a
  kv-server --addr :50052 --data-dir ./b --peers localhost:50051,localhost:50052,localhost:50053
`

function helpText(name: SettingName): string {
  const { help, defaultText } = settings[name]
  return defaultText === undefined || defaultText === '' || defaultText === 'false'
    ? help
    : `${help} (default: ${defaultText})`
}

function buildCommand(write: (text: string) => void): Command {
  const command = new Command('kv-server')
    .description('A storage node of QuorumKV.')
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeOut: write, writeErr: () => undefined, getOutHelpWidth: () => 110 })
    .addHelpText('after', epilogue)
  for (const name of settingNames) {
    const { argument, group } = settings[name]
    const flag = argument === undefined ? `--${kebabName(name)}` : `--${kebabName(name)} ${argument}`
    command.addOption(new Option(flag, helpText(name)).helpGroup(group))
  }
  command.addOption(new Option('--config <file>', 'settings in JSON or YAML').helpGroup('General:'))
  command.addOption(new Option('--check-config', 'check the settings and stop').helpGroup('General:'))
  command.addOption(new Option('-V, --version', 'print the version').helpGroup('General:'))
  command.addHelpOption(new Option('-h, --help', 'print this').helpGroup('General:'))
  return command
}

type Options = Readonly<Record<string, string | true | undefined>>

/** Flags by setting. Commander names options as our settings are named, and a switch that was given is `true`. */
function givenFlags(options: Options): Partial<Record<SettingName, string>> {
  const given: Partial<Record<SettingName, string>> = {}
  for (const name of settingNames) {
    const value = options[name]
    if (value !== undefined) given[name] = String(value)
  }
  return given
}

/**
 * Reads a command line (without the program's name) and the environment. Throws FatalError `usage`, and
 * `invalid-argument` naming the flag, variable or key that is wrong.
 */
export async function parseCommandLine(
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Invocation> {
  let printed = ''
  const command = buildCommand((text) => {
    printed += text
  })
  try {
    command.parse([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.code === 'commander.helpDisplayed') return { kind: 'print', text: printed }
    const hint = 'see kv-server --help'
    throw new FatalError('usage', `${error.message.replace(/^error: /, '')}; ${hint}`, error)
  }
  const options = command.opts() as Options
  if (options['version'] === true) return { kind: 'print', text: `kv-server ${packageVersion}\n` }
  const sources: ConfigSource[] = [flagSource(givenFlags(options)), environmentSource(environment)]
  const file = options['config'] ?? environment['KV_CONFIG']
  if (typeof file === 'string' && file !== '') {
    const { fileSource } = await import('./config-file.js')
    sources.push(fileSource(file))
  }
  const config = resolveConfig(sources)
  return { kind: options['checkConfig'] === true ? 'check-config' : 'serve', config }
}
