import { invalidArgument } from '@quorumkv/internal/base'
import type { ReplicationSettings } from '@quorumkv/internal/slots'
import { isLoopback } from './addresses.js'
import {
  environmentName,
  kebabName,
  type Setting,
  type SettingName,
  type SettingValues,
  settingNames,
  settings,
} from './settings.js'

/** Everything that a node needs to know, checked. */
export type NodeConfig = Omit<SettingValues, 'replicationFactor' | 'readQuorum' | 'writeQuorum'> & {
  readonly replication: ReplicationSettings
}

/** What one source says about a setting: the text, and what to call it when it is wrong. */
export interface SettingText {
  readonly text: string
  readonly label: string
}

/** A place where settings are found: flags, environment, file, or the options of an embedding program. */
export type ConfigSource = (name: SettingName) => SettingText | undefined

/** Flags that were given, by setting. */
export function flagSource(given: Readonly<Partial<Record<SettingName, string>>>): ConfigSource {
  return (name) => {
    const text = given[name]
    return text === undefined ? undefined : { text, label: `--${kebabName(name)}` }
  }
}

/** `KV_…` variables. An empty one counts as missing: that is how compose files and units pass what is not set. */
export function environmentSource(environment: Readonly<Record<string, string | undefined>>): ConfigSource {
  return (name) => {
    const label = environmentName(name)
    const text = environment[label]
    return text === undefined || text === '' ? undefined : { text, label }
  }
}

/** What an embedding program may give for a setting; numbers of a duration are milliseconds. */
export type SettingInput = string | number | boolean | readonly string[]

export type NodeSettings = { readonly [Name in SettingName]?: SettingInput | undefined }

/** Settings given by a program, under the names of `NodeSettings`. */
export function programSource(given: NodeSettings): ConfigSource {
  return (name) => {
    const input = given[name]
    if (input === undefined) return undefined
    const isDuration = name === 'snapshotInterval' || name === 'maxClockDrift'
    const text = typeof input === 'object' ? input.join(',') : String(input)
    return { text: typeof input === 'number' && isDuration ? `${text}ms` : text, label: name }
  }
}

function readSetting<Name extends SettingName>(name: Name, sources: readonly ConfigSource[]): SettingValues[Name] {
  // The compiler does not see through the mapped type that the setting's value is that of its name.
  const setting = settings[name] as Setting<SettingValues[Name]>
  for (const source of sources) {
    const found = source(name)
    if (found !== undefined) return setting.parse(found.text, found.label)
  }
  return setting.unset
}

/** The settings from the first source that has each of them, else the defaults. Throws `invalid-argument`. */
export function resolveConfig(sources: readonly ConfigSource[]): NodeConfig {
  const read: Partial<Record<SettingName, unknown>> = {}
  for (const name of settingNames) read[name] = readSetting(name, sources)
  const { replicationFactor, readQuorum, writeQuorum, ...rest } = read as unknown as SettingValues
  checkInterfaces(rest)
  const majority = Math.floor(replicationFactor / 2) + 1
  const replication = {
    replicationFactor,
    readQuorum: readQuorum ?? majority,
    writeQuorum: writeQuorum ?? majority,
  }
  checkQuorums(replication)
  return { ...rest, replication }
}

function checkInterfaces({ addr, insecure }: Pick<NodeConfig, 'addr' | 'insecure'>): void {
  if (insecure) return
  const open = addr.find(({ host }) => !isLoopback(host))
  if (open !== undefined) {
    throw invalidArgument(
      'addr',
      `${open.host} can be reached from other machines, and this server has no encryption and no authentication; ` +
        'listen on 127.0.0.1 (or on ":port"), or say --insecure if the network is trusted',
    )
  }
}

/** A quorum read must meet every quorum write, and two quorum writes must meet each other. */
function checkQuorums({ replicationFactor, readQuorum, writeQuorum }: ReplicationSettings): void {
  for (const [name, quorum] of [
    ['read-quorum', readQuorum],
    ['write-quorum', writeQuorum],
  ] as const) {
    if (quorum > replicationFactor) {
      throw invalidArgument(name, `must be at most the replication factor ${replicationFactor}, got ${quorum}`)
    }
  }
  if (2 * writeQuorum <= replicationFactor) {
    throw invalidArgument('write-quorum', `must be more than half of ${replicationFactor} replicas, got ${writeQuorum}`)
  }
  if (readQuorum + writeQuorum <= replicationFactor) {
    throw invalidArgument(
      'read-quorum',
      `${readQuorum} of ${replicationFactor} replicas can miss a write that ${writeQuorum} acknowledged; ` +
        `must be at least ${replicationFactor - writeQuorum + 1}`,
    )
  }
}
