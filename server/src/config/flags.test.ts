import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FatalError, KvError } from '@quorumkv/internal/base'
import { afterAll, describe, expect, it } from 'vitest'
import { exitStatusOf } from '../commands/exit.js'
import type { NodeConfig } from './config.js'
import { parseCommandLine } from './flags.js'
import { environmentName, kebabName, settingNames } from './settings.js'

const directory = mkdtempSync(join(tmpdir(), 'kv-flags-'))
afterAll(() => rmSync(directory, { recursive: true }))

let files = 0
function file(text: string): string {
  const path = join(directory, `settings-${++files}.yaml`)
  writeFileSync(path, text)
  return path
}

async function config(argv: readonly string[], environment: Record<string, string> = {}): Promise<NodeConfig> {
  const invocation = await parseCommandLine(argv, environment)
  if (invocation.kind === 'print') throw new Error('printed instead')
  return invocation.config
}

async function failure(argv: readonly string[], environment: Record<string, string> = {}): Promise<Error> {
  try {
    await parseCommandLine(argv, environment)
  } catch (error) {
    expect(exitStatusOf(error)).toBe(2)
    return error as Error
  }
  throw new Error('accepted')
}

describe('defaults', () => {
  it('are those of the manual', async () => {
    expect(await config([])).toEqual({
      addr: [
        { host: '127.0.0.1', port: 50051, optional: false },
        { host: '::1', port: 50051, optional: true },
      ],
      advertise: undefined,
      httpAddr: undefined,
      httpAllowHost: [],
      insecure: false,
      tlsCert: undefined,
      tlsKey: undefined,
      tlsCa: undefined,
      requireClientCert: false,
      metricsOpen: false,
      clusterSecretFile: undefined,
      peers: [],
      id: undefined,
      zone: '',
      weight: 1,
      virtualNodes: 150,
      replication: { replicationFactor: 3, readQuorum: 2, writeQuorum: 2 },
      dataDir: './kv-data',
      fsync: 'always',
      fsyncIntervalMs: 100,
      snapshotInterval: 300_000,
      snapshotWalBytes: 268_435_456,
      streamRate: 67_108_864,
      maxClockDrift: 10_000,
      probeIntervalMs: 1000,
      probeTimeoutMs: 500,
      suspicionMult: 4,
      gossipIntervalMs: 200,
      gossipFanout: 3,
      replaceAfter: 600_000,
      logLevel: 'info',
      reflection: false,
      maxConnections: 4096,
      maxConnectionsPerAddress: 1024,
      rateLimit: 0,
      byteRateLimit: 0,
      slowMs: 100,
      logFormat: undefined,
    })
  })

  it('a quorum that is not given is a majority of the replicas', async () => {
    expect((await config(['--replication-factor', '5'])).replication).toMatchObject({ readQuorum: 3, writeQuorum: 3 })
    expect((await config(['--replication-factor', '1'])).replication).toMatchObject({ readQuorum: 1, writeQuorum: 1 })
  })
})

describe('precedence', () => {
  it('a flag wins over the environment, the environment over the file, the file over the default', async () => {
    const path = file('weight: 2\nzone: file\nid: from-file\n')
    const environment = { KV_WEIGHT: '3', KV_ZONE: 'environment', KV_CONFIG: path }
    expect(await config(['--weight', '4'], environment)).toMatchObject({
      weight: 4,
      zone: 'environment',
      id: 'from-file',
    })
  })

  it('an empty variable counts as missing', async () => {
    expect((await config([], { KV_WEIGHT: '', KV_CONFIG: '' })).weight).toBe(1)
  })

  it('every setting has a flag, a variable and a key', async () => {
    for (const name of settingNames) {
      const key = kebabName(name)
      const isSwitch = name === 'insecure' || name === 'requireClientCert'
      const value = isSwitch ? 'maybe' : '\0'
      expect((await failure([], { [environmentName(name)]: value })).message).toContain(environmentName(name))
      expect((await failure(['--config', file(`${key}: "${isSwitch ? 'maybe' : '\\0'}"`)])).message).toContain(key)
      expect(await parseCommandLine(['--help'], {})).toMatchObject({ text: expect.stringContaining(`--${key}`) })
    }
  })
})

describe('values', () => {
  it('addresses, peers, durations and sizes are parsed', async () => {
    const argv = ['--addr', '[::1]:0', '--peers', 'a@h1:1, h2:2,h2:2', '--snapshot-wal-bytes', '1GiB']
    const parsed = await config([...argv, '--snapshot-interval', '10m', '--max-clock-drift', '250ms'])
    expect(parsed.addr).toEqual([{ host: '::1', port: 0, optional: false }])
    expect(parsed.peers).toEqual([
      { id: 'a', address: 'h1:1' },
      { id: undefined, address: 'h2:2' },
    ])
    expect([parsed.snapshotInterval, parsed.maxClockDrift]).toEqual([600_000, 250])
    expect(parsed.snapshotWalBytes).toBe(1_073_741_824)
  })

  it('--replace-after 0 means never', async () => {
    expect((await config(['--replace-after', '0'])).replaceAfter).toBe(0)
    expect((await config(['--replace-after', '90s'])).replaceAfter).toBe(90_000)
  })

  it('localhost means both loopback addresses', async () => {
    expect((await config(['--addr', 'localhost:7'])).addr.map(({ host }) => host)).toEqual(['127.0.0.1', '::1'])
  })

  it.each<[string[], string]>([
    [['--addr', '50051'], '--addr: must be host:port'],
    [['--addr', ':70000'], '--addr: port must be 0 to 65535'],
    [['--advertise', 'h:0'], '--advertise: port must be 1 to 65535'],
    [['--http-addr', '8080'], '--http-addr: must be host:port'],
    [['--http-allow-host', 'kv.example:80'], '--http-allow-host: must be host names without ports'],
    [['--peers', 'nowhere'], '--peers: must be host:port'],
    [['--peers', 'a@h:1,b@h:1'], '--peers: names two ids for h:1: a and b'],
    [['--id', 'Node_1'], '--id: must be 1 to 63 characters'],
    [['--weight', '0'], '--weight: must be 1 to 1000, got "0"'],
    [['--weight', '1.5'], '--weight: must be a whole number, got "1.5"'],
    [['--virtual-nodes', '-1'], '--virtual-nodes: must be a whole number'],
    [['--zone', 'a b'], '--zone: must be up to 63 letters'],
    [['--data-dir', ''], '--data-dir: must be a path'],
    [['--fsync', 'sometimes'], '--fsync: must be one of always, interval, never, got "sometimes"'],
    [['--snapshot-interval', '300'], '--snapshot-interval: must be a duration such as 250ms, 300s or 10m, got "300"'],
    [['--snapshot-wal-bytes', '256 MiB'], '--snapshot-wal-bytes: must be a size such as 64KiB or 256MiB'],
    [['--snapshot-wal-bytes', '1'], '--snapshot-wal-bytes: must be 1048576 to 1099511627776 bytes'],
    [['--max-clock-drift', '2d'], '--max-clock-drift: must be 1 to 86400000 ms'],
    [['--log-level', 'loud'], '--log-level: must be one of'],
    [['--probe-interval-ms', '99'], '--probe-interval-ms: must be 100 to 600000'],
    [['--probe-timeout-ms', '9'], '--probe-timeout-ms: must be 10 to 300000'],
    [['--suspicion-mult', '0'], '--suspicion-mult: must be 1 to 100'],
    [['--gossip-interval-ms', '49'], '--gossip-interval-ms: must be 50 to 60000'],
    [['--gossip-fanout', '33'], '--gossip-fanout: must be 1 to 32'],
    [['--replace-after', '10'], '--replace-after: must be a duration such as'],
    [['--replace-after', '0s'], '--replace-after: must be 1000 to'],
    [['--read-quorum', '4'], '--read-quorum: must be a whole number, 1 to 3, got 4'],
    [['--write-quorum', '1', '--read-quorum', '3'], '--write-quorum: must be a majority of 3 copies'],
    [['--read-quorum', '1'], '--read-quorum: must be 2 at least'],
    [['--replication-factor', '5', '--write-quorum', '3', '--read-quorum', '2'], '--read-quorum: must be 3 at least'],
  ])('%j is refused, naming the flag', async (argv, message) => {
    expect((await failure(argv)).message).toContain(message)
  })

  it.each([
    [['--addr', '0.0.0.0:1']],
    [['--addr', '[::]:1']],
    [['--addr', '10.0.0.1:1']],
    [['--addr', 'myhost:1']],
    [['--http-addr', '0.0.0.0:1']],
  ])('%j is refused without --insecure: others could connect', async (argv) => {
    expect((await failure(argv)).message).toMatch(/can be reached from other machines.*--insecure/)
    expect((await config([...argv, '--insecure'])).insecure).toBe(true)
  })
})

describe('who can reach a node', () => {
  const tls = ['--tls-cert', 'c', '--tls-key', 'k']
  const mutual = [...tls, '--tls-ca', 'a', '--require-client-cert']

  it('may be everybody where it is encrypted and callers are known', async () => {
    const argv = ['--addr', '0.0.0.0:1', '--http-addr', '0.0.0.0:2', ...mutual]
    expect(await config(argv)).toMatchObject({ insecure: false, requireClientCert: true, tlsCa: 'a' })
  })

  it.each([
    [tls, 'no authentication'],
    [[...tls, '--tls-ca', 'a'], 'no authentication'],
    [[], 'no encryption and no authentication'],
  ])('%j: others are not let in, because there is %s', async (argv, lacks) => {
    for (const flag of ['--addr', '--http-addr']) {
      const { message } = await failure([flag, '10.0.0.1:1', ...argv])
      expect(message).toContain(`${flag}: 10.0.0.1 can be reached from other machines, and this server has ${lacks};`)
    }
  })

  it.each([
    [['--tls-cert', 'c'], '--tls-cert: needs --tls-key'],
    [['--tls-key', 'k'], '--tls-key: needs --tls-cert'],
    [['--tls-ca', 'a'], '--tls-ca: needs --tls-cert'],
    [['--require-client-cert'], '--require-client-cert: needs --tls-cert'],
    [[...tls, '--require-client-cert'], '--require-client-cert: needs --tls-ca'],
  ])('%j is half of something', async (argv, message) => {
    expect((await failure(argv)).message).toContain(message)
  })
})

describe('usage', () => {
  it.each<[string[], string]>([
    [['--adr', ':1'], "unknown option '--adr'"],
    [['--tls-certs', 'x'], "unknown option '--tls-certs'"],
    [['serve'], 'too many arguments'],
    [['--weight'], "option '--weight <n>' argument missing"],
  ])('%j is refused', async (argv, message) => {
    const error = await failure(argv)
    expect(error).toBeInstanceOf(FatalError)
    expect(error.message).toContain(message)
  })

  it('--help groups the settings, --version says it', async () => {
    const help = await parseCommandLine(['--help'], {})
    expect(help).toMatchObject({ kind: 'print', text: expect.stringMatching(/Network:.*Cluster:.*Storage:/s) })
    expect(await parseCommandLine(['--version'], {})).toEqual({ kind: 'print', text: 'kv-server 0.1.0\n' })
  })

  it('--check-config checks everything first', async () => {
    expect((await parseCommandLine(['--check-config'], {})).kind).toBe('check-config')
    expect((await failure(['--check-config', '--weight', 'x'])).message).toContain('--weight')
  })
})

describe('the file', () => {
  it('may be JSON, and peers may be a list', async () => {
    const path = file('{"addr": "127.0.0.1:1", "weight": 5, "insecure": true, "peers": ["h1:1", "h2:2"]}')
    expect(await config(['--config', path])).toMatchObject({
      weight: 5,
      insecure: true,
      peers: [{ address: 'h1:1' }, {}],
    })
  })

  it('values are taken as written', async () => {
    expect(await config(['--config', file('id: 007\nzone: no\n')])).toMatchObject({ id: '007', zone: 'no' })
  })

  it.each([
    ['adr: x', 'unknown key "adr"'],
    ['id: *nobody', 'Unresolved alias'],
    [`id: ${'['.repeat(20_000)}`, 'nested more than 16 deep'],
    [`${'- '.repeat(20_000)}x`, 'nested more than 16 deep'],
    [`${'? '.repeat(20_000)}x`, 'nested more than 16 deep'],
    [`id: ${'{a: '.repeat(9_000)}`, 'nested more than 16 deep'],
    ['dataDir: x', 'unknown key "dataDir"'],
    ['config: x', 'unknown key "config"'],
    ['weight: {a: 1}', 'weight: must be a text, a number or true or false'],
    ['weight: [1]', 'weight: must be a text'],
    ['\n'.repeat(10_000), 'more than 10000 lines'],
    ['weight: 1\nweight: 2', 'line 2: this key is there already'],
    ['weight: x', 'weight: must be a whole number, got "x"'],
    ['- a', 'expected object'],
    ['a: [', 'Flow sequence'],
  ])('%j is refused, naming the file and the key', async (text, message) => {
    const path = file(text)
    const error = await failure(['--config', path])
    expect(error.message).toContain(path)
    expect(error.message).toContain(message)
  })

  it('an empty one sets nothing, a missing one is refused', async () => {
    expect((await config(['--config', file('# nothing\n')])).weight).toBe(1)
    expect((await failure(['--config', join(directory, 'missing.yaml')])).message).toContain('missing.yaml')
  })
})

describe('exit status', () => {
  it('follows the reason', async () => {
    expect(exitStatusOf(new FatalError('corrupt', 'x'))).toBe(3)
    expect(exitStatusOf(new FatalError('disk-failed', 'x'))).toBe(4)
    expect(exitStatusOf(new FatalError('in-use', 'x'))).toBe(5)
    expect(exitStatusOf(new FatalError('refused', 'x'))).toBe(6)
    expect(exitStatusOf(new KvError('unavailable', 'x'))).toBe(70)
    expect(exitStatusOf(new TypeError('x'))).toBe(70)
  })
})
