import { invalidArgument, limits, parseAddress, parseNodeId } from '@quorumkv/internal/base'
import { parseHostNames, parseListenAddresses, parsePeers } from './addresses.js'
import type { SettingName, SettingValues } from './setting-values.js'
import { parseBoolean, parseChoice, parseDurationMs, parseSizeBytes, parseWhole } from './units.js'

export type { LogFormat, LogLevel, SettingName, SettingValues } from './setting-values.js'

/** One setting: a flag, an environment variable, a key of the file and an option of `startNode`, all alike. */
export interface Setting<Value> {
  /** Under which heading `--help` shows it. */
  readonly group: string
  /** What `--help` shows behind the flag; undefined for a switch. */
  readonly argument: string | undefined
  readonly help: string
  /** Undefined: there is none, and `parse` is not called. */
  readonly defaultText: string | undefined
  readonly unset: Value
  /** Throws `invalid-argument` naming `label`. */
  readonly parse: (text: string, label: string) => Value
}

function parseZone(text: string, label: string): string {
  if (!/^[A-Za-z0-9._-]{0,63}$/.test(text)) {
    throw invalidArgument(label, `must be up to 63 letters, digits, ".", "_" or "-", got ${JSON.stringify(text)}`)
  }
  return text
}

function parsePath(text: string, label: string): string {
  if (text === '' || text.includes('\0')) throw invalidArgument(label, 'must be a path')
  return text
}

const dayMs = 86_400_000
const groups = {
  network: 'Network:',
  security: 'Security:',
  cluster: 'Cluster:',
  storage: 'Storage:',
  liveness: 'Failure detection:',
  limits: 'Limits (all of them: kv-server limits):',
  log: 'Log:',
}

interface SettingOptions<Value> {
  readonly group: keyof typeof groups
  readonly argument?: string
  readonly help: string
  readonly defaultText: string
  readonly parse: (text: string, label: string) => Value
}

/** A setting with a default, written as a user would. */
function setting<Value>(options: SettingOptions<Value>): Setting<Value> {
  const { defaultText, parse, help, argument } = options
  return {
    group: groups[options.group],
    argument,
    help,
    defaultText,
    unset: parse(defaultText, 'default'),
    parse,
  }
}

/** A setting that may be missing; `help` says what then holds. */
function optional<Value>(options: Omit<SettingOptions<Value>, 'defaultText'>): Setting<Value | undefined> {
  const { parse, help, argument } = options
  return { group: groups[options.group], argument, help, defaultText: undefined, unset: undefined, parse }
}

/** In the order in which `--help` shows them. */
export const settings: { readonly [Name in SettingName]: Setting<SettingValues[Name]> } = {
  addr: setting({
    group: 'network',
    argument: '<[host]:port>',
    help: 'where clients and nodes connect; without a host this machine only; port 0 for any free one',
    defaultText: ':50051',
    parse: parseListenAddresses,
  }),
  advertise: optional({
    group: 'network',
    argument: '<host:port>',
    help: 'what other nodes and clients are told (default: from --addr)',
    parse: (text, label) => parseAddress(text, label),
  }),
  httpAddr: optional({
    group: 'network',
    argument: '<[host]:port>',
    help: 'REST, dashboard, metrics and health; hosts as for --addr (default: off)',
    parse: parseListenAddresses,
  }),
  httpAllowHost: setting({
    group: 'network',
    argument: '<name,…>',
    help: 'names that HTTP requests may ask for, besides localhost, IP addresses, and the host names of this node',
    defaultText: '',
    parse: parseHostNames,
  }),
  insecure: setting({
    group: 'network',
    help: 'allow --addr and --http-addr on an interface that others can reach, without TLS or without knowing who they are',
    defaultText: 'false',
    parse: parseBoolean,
  }),
  reflection: setting({
    group: 'network',
    help: 'tell clients of gRPC, such as grpcurl, which calls there are',
    defaultText: 'false',
    parse: parseBoolean,
  }),
  tlsCert: optional({
    group: 'security',
    argument: '<file>',
    help: 'certificate in PEM, with what is between it and the authority; gRPC, HTTP and links to other nodes are then encrypted',
    parse: parsePath,
  }),
  tlsKey: optional({
    group: 'security',
    argument: '<file>',
    help: 'private key of the certificate, in PEM',
    parse: parsePath,
  }),
  tlsCa: optional({
    group: 'security',
    argument: '<file>',
    help:
      'authorities of this cluster alone, in PEM: nodes need a certificate of theirs that names the node, and clients are known ' +
      'by theirs (default: no certificates are asked for)',
    parse: parsePath,
  }),
  requireClientCert: setting({
    group: 'security',
    help: 'let nobody in, over gRPC and HTTP, without a certificate that --tls-ca vouches for',
    defaultText: 'false',
    parse: parseBoolean,
  }),
  authFile: optional({
    group: 'security',
    argument: '<path>',
    help:
      'principals of this node, see kv-server auth --help; with it whoever calls has to show a token of one of them, or of ' +
      'one that the members have agreed on (default: nobody is asked)',
    parse: parsePath,
  }),
  metricsOpen: setting({
    group: 'security',
    help: 'let everybody read /metrics who can reach --http-addr, also where callers have to say who they are',
    defaultText: 'false',
    parse: parseBoolean,
  }),
  clusterSecretFile: optional({
    group: 'security',
    argument: '<file>',
    help: 'at least 32 random bytes that all nodes have, and prove to each other that they have; beside or instead of --tls-ca',
    parse: parsePath,
  }),
  peers: setting({
    group: 'cluster',
    argument: '<[id@]host:port,…>',
    help: 'any members; may contain this node; none: found a cluster of one',
    defaultText: '',
    parse: parsePeers,
  }),
  id: optional({
    group: 'cluster',
    argument: '<name>',
    help: 'name of the node, a-z 0-9 "-" (default: random, kept in the data directory)',
    parse: (text, label) => parseNodeId(text, label),
  }),
  zone: setting({
    group: 'cluster',
    argument: '<name>',
    help: 'replicas of a key are spread over zones (default: none)',
    defaultText: '',
    parse: parseZone,
  }),
  weight: setting({
    group: 'cluster',
    argument: '<n>',
    help: 'how many shares of the data this node takes',
    defaultText: '1',
    parse: (text, label) => parseWhole(text, label, 1, limits.weightMax),
  }),
  virtualNodes: setting({
    group: 'cluster',
    argument: '<n>',
    help: 'points on the ring per unit of weight',
    defaultText: '150',
    parse: (text, label) => parseWhole(text, label, 1, limits.virtualNodesMax),
  }),
  replicationFactor: setting({
    group: 'cluster',
    argument: '<n>',
    help: 'how many nodes keep each key',
    defaultText: '3',
    parse: (text, label) => parseWhole(text, label, 1, limits.replicationFactorMax),
  }),
  readQuorum: optional({
    group: 'cluster',
    argument: '<n>',
    help: 'how many of them a quorum read asks (default: a majority, 2 of 3)',
    parse: (text, label) => parseWhole(text, label, 1, limits.replicationFactorMax),
  }),
  writeQuorum: optional({
    group: 'cluster',
    argument: '<n>',
    help: 'how many of them have a quorum write on disk before it is acknowledged (default: a majority, 2 of 3)',
    parse: (text, label) => parseWhole(text, label, 1, limits.replicationFactorMax),
  }),
  dataDir: setting({
    group: 'storage',
    argument: '<path>',
    help: 'directory of this node, for one process at a time',
    defaultText: './kv-data',
    parse: parsePath,
  }),
  fsync: setting({
    group: 'storage',
    argument: '<policy>',
    help:
      'always: a write is acknowledged when it is synced to disk; interval: when it is written, and synced every ' +
      '--fsync-interval-ms, so that a power cut may lose so much; never: synced by the operating system only',
    defaultText: 'always',
    parse: (text, label) => parseChoice(text, label, ['always', 'interval', 'never']),
  }),
  fsyncIntervalMs: setting({
    group: 'storage',
    argument: '<ms>',
    help: 'how long --fsync interval leaves acknowledged writes unsynced, at most',
    defaultText: '100',
    parse: (text, label) => parseWhole(text, label, 1, 60_000),
  }),
  snapshotInterval: setting({
    group: 'storage',
    argument: '<duration>',
    help: 'a snapshot is written after this long…',
    defaultText: '300s',
    parse: (text, label) => parseDurationMs(text, label, 1000, 30 * dayMs),
  }),
  snapshotWalBytes: setting({
    group: 'storage',
    argument: '<size>',
    help: '…or when the log has grown by this much',
    defaultText: '256MiB',
    parse: (text, label) => parseSizeBytes(text, label, 1_048_576, 1_099_511_627_776),
  }),
  streamRate: setting({
    group: 'storage',
    argument: '<size>',
    help: 'slots that are handed over to this node come at so many bytes per second, at most',
    defaultText: '64MiB',
    parse: (text, label) => parseSizeBytes(text, label, 65_536, 1_099_511_627_776),
  }),
  maxClockDrift: setting({
    group: 'liveness',
    argument: '<duration>',
    help: 'a node whose clock is further off is refused',
    defaultText: '10s',
    parse: (text, label) => parseDurationMs(text, label, 1, dayMs),
  }),
  probeIntervalMs: setting({
    group: 'liveness',
    argument: '<ms>',
    help: 'this node asks one other after so long whether it is there, and the other end of each link as well',
    defaultText: '1000',
    parse: (text, label) => parseWhole(text, label, 100, 600_000),
  }),
  probeTimeoutMs: setting({
    group: 'liveness',
    argument: '<ms>',
    help: 'without an answer for so long, others are asked to try, and links are given up; at most half of the interval',
    defaultText: '500',
    parse: (text, label) => parseWhole(text, label, 10, 300_000),
  }),
  suspicionMult: setting({
    group: 'liveness',
    argument: '<n>',
    help: 'who does not answer has so many probe intervals to contradict before it is held for dead; longer in large clusters',
    defaultText: '4',
    parse: (text, label) => parseWhole(text, label, 1, 100),
  }),
  gossipIntervalMs: setting({
    group: 'liveness',
    argument: '<ms>',
    help: 'news about nodes are passed on after so long',
    defaultText: '200',
    parse: (text, label) => parseWhole(text, label, limits.swimTickMs, 60_000),
  }),
  gossipFanout: setting({
    group: 'liveness',
    argument: '<n>',
    help: '…to so many others',
    defaultText: '3',
    parse: (text, label) => parseWhole(text, label, 1, 32),
  }),
  replaceAfter: setting({
    group: 'liveness',
    argument: '<duration>',
    help:
      'a node that has been dead or stopped for longer, as a majority sees it, is removed and its data made whole from the ' +
      'other copies, where as many nodes as the replication factor are left; 0: never',
    defaultText: '10m',
    parse: (text, label) => (text === '0' ? 0 : parseDurationMs(text, label, 1000, 30 * dayMs)),
  }),
  maxConnections: setting({
    group: 'limits',
    argument: '<n>',
    help: 'connections of clients and nodes at a time; above it the longest idle one is closed, or else the newcomer',
    defaultText: String(limits.connectionsMax),
    parse: (text, label) => parseWhole(text, label, 16, 1_000_000),
  }),
  maxConnectionsPerAddress: setting({
    group: 'limits',
    argument: '<n>',
    help: '…of which one address may have so many',
    defaultText: String(limits.connectionsPerAddressMax),
    parse: (text, label) => parseWhole(text, label, 1, 1_000_000),
  }),
  rateLimit: setting({
    group: 'limits',
    argument: '<n>',
    help:
      'operations per second that one principal may ask of this node, unless --auth-file says otherwise; without it all ' +
      'callers count as one; 0: no limit',
    defaultText: '0',
    parse: (text, label) => parseWhole(text, label, 0, 1_000_000_000),
  }),
  byteRateLimit: setting({
    group: 'limits',
    argument: '<size>',
    help: '…and the bytes of keys and values, either way; 0: no limit',
    defaultText: '0',
    parse: (text, label) => (text === '0' ? 0 : parseSizeBytes(text, label, 1_024, 1_099_511_627_776)),
  }),
  logLevel: setting({
    group: 'log',
    argument: '<level>',
    help: 'debug, info, warn or error',
    defaultText: 'info',
    parse: (text, label) => parseChoice(text, label, ['debug', 'info', 'warn', 'error']),
  }),
  slowMs: setting({
    group: 'log',
    argument: '<ms>',
    help: 'operations of clients that take as long are logged, without their keys; 0: none',
    defaultText: '100',
    parse: (text, label) => parseWhole(text, label, 0, 3_600_000),
  }),
  logFormat: optional({
    group: 'log',
    argument: '<format>',
    help: 'json or pretty (default: pretty on a terminal)',
    parse: (text, label) => parseChoice(text, label, ['json', 'pretty']),
  }),
}

export const settingNames: readonly SettingName[] = Object.keys(settings) as SettingName[]

/** `dataDir` → `data-dir`: the flag without its dashes, and the key of the file. */
export function kebabName(name: SettingName): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** `dataDir` → `KV_DATA_DIR`. */
export function environmentName(name: SettingName): string {
  return `KV_${kebabName(name).replaceAll('-', '_').toUpperCase()}`
}
