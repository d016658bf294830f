import { invalidArgument, KvError } from '@quorumkv/internal/base'
import { parseReplicationSettings, type ReplicationSettings } from '@quorumkv/internal/slots'
import { checkExposure } from './exposure.js'
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

interface Found<Value> {
  readonly value: Value
  /** What to call the setting when it does not go with another: where it was given, else its name. */
  readonly label: string
}

function readSetting<Name extends SettingName>(
  name: Name,
  sources: readonly ConfigSource[],
): Found<SettingValues[Name]> {
  // The compiler does not see through the mapped type that the setting's value is that of its name.
  const setting = settings[name] as Setting<SettingValues[Name]>
  for (const source of sources) {
    const found = source(name)
    if (found !== undefined) return { value: setting.parse(found.text, found.label), label: found.label }
  }
  return { value: setting.unset, label: kebabName(name) }
}

/** The settings from the first source that has each of them, else the defaults. Throws `invalid-argument`. */
export function resolveConfig(sources: readonly ConfigSource[]): NodeConfig {
  const read: Partial<Record<SettingName, unknown>> = {}
  const labels: Partial<Record<string, string>> = {}
  for (const name of settingNames) {
    const { value, label } = readSetting(name, sources)
    read[name] = value
    labels[name] = label
  }
  const { replicationFactor, readQuorum, writeQuorum, ...rest } = read as unknown as SettingValues
  const labelOf = (name: string): string => labels[name] ?? name
  checkExposure(rest, labelOf)
  const majority = Math.floor(replicationFactor / 2) + 1
  const replication = checkReplication(
    { replicationFactor, readQuorum: readQuorum ?? majority, writeQuorum: writeQuorum ?? majority },
    labelOf,
  )
  return { ...rest, replication }
}

/** The rules are the store's; its names for the settings are not those that a user has typed. */
function checkReplication(given: ReplicationSettings, labelOf: (name: string) => string): ReplicationSettings {
  try {
    return parseReplicationSettings(given)
  } catch (error) {
    if (!(error instanceof KvError) || error.field === undefined) throw error
    throw invalidArgument(labelOf(error.field), error.message.slice(error.field.length + 2))
  }
}
