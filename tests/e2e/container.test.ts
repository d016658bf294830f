import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import https, { type RequestOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, longForm, makeTemporaryDirectory } from '../fixtures.js'
import { type Manifest, renderChart } from '../packaging/chart.js'
import { endOf, ImageRoot, imageObstacle, listOf, type Ran, type Started } from '../packaging/image-root.js'
import { doAsTheGuideTells, type Prepared } from '../packaging/operator.js'
import { Pod, SecretVolume } from '../packaging/pods.js'
import { parseEnvironment, parseUnit } from '../packaging/systemd-unit.js'

/*
 * The image, the unit for systemd and the pods of the chart, each command by command in a root directory that holds what the
 * image would.
 */

const root = fileURLToPath(new URL('../../', import.meta.url))
const missing = imageObstacle()
if (missing !== undefined) console.log(`container: skipped, ${missing}`)
let image: ImageRoot

function run(argv: readonly string[], environment: Record<string, string> = {}): Ran {
  return image.run(argv, { environment })
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

beforeAll(() => {
  if (missing === undefined) image = new ImageRoot()
}, 300_000)
afterAll(() => {
  if (missing === undefined) rmSync(image.place, { recursive: true, force: true })
})

describe.skipIf(missing !== undefined)('in a root directory of its own', () => {
  test('the entry point serves, is healthy, keeps what it was given, and ends with 0 at SIGTERM', async () => {
    const port = await freePort()
    const given = { KV_ID: 'n1', KV_ADDR: `0.0.0.0:${port}`, KV_INSECURE: 'true', KV_ADVERTISE: `127.0.0.1:${port}` }
    // tini is a package of Debian that only hands signals on; the kernel does that here.
    const entry = listOf('ENTRYPOINT').filter((word) => !['/usr/bin/tini', '--'].includes(word))
    const health = listOf('HEALTHCHECK')
    expect(run(health, given).status).toBe(1)
    for (const life of [1, 2]) {
      const server = image.start(entry, { environment: given })
      expect(run(['kv-server', 'health', '--wait', '30s'], given), server.log()).toEqual({
        status: 0,
        out: `127.0.0.1:${port}: serving\n`,
      })
      expect(run(health, given)).toEqual({ status: 0, out: '' })
      const kv = ['kv', '--endpoints', `127.0.0.1:${port}`]
      if (life === 1) expect(run([...kv, 'put', 'greeting', 'hello']).status).toBe(0)
      expect(run([...kv, 'get', 'greeting']).out).toContain('hello')
      // Alone there is no quorum to keep: it says no, and goes on when its time is over.
      const stopping = run(['kv-prestop', 'n1', '1'], { KV_ENDPOINTS: `127.0.0.1:${port}` })
      expect(stopping.status).toBe(0)
      expect(await endOf(server), server.log()).toBe(0)
    }
  })

  test('without settings it listens to nobody but itself, and its root is read-only', async () => {
    expect(run(['kv-server', '--check-config', '--addr', '0.0.0.0:50051']).status).toBe(2)
    const write = run(['sh', '-c', 'echo x > /opt/quorumkv/x; echo x > /var/lib/quorumkv/x && echo written'])
    expect(write.out).toContain('/opt/quorumkv/x: Read-only file system')
    expect(write.out).toContain('written')
  })

  test('the commands of the unit for systemd do what it expects of them', async () => {
    const { Service: service } = parseUnit(readFileSync(`${root}packaging/systemd/quorumkv.service`, 'utf8'))
    const port = await freePort()
    const http = await freePort()
    const settings = parseEnvironment(readFileSync(`${root}packaging/systemd/quorumkv.env`, 'utf8'))
    const own = {
      KV_DATA_DIR: '/var/lib/quorumkv/unit',
      KV_ADDR: `127.0.0.1:${port}`,
      KV_HTTP_ADDR: `127.0.0.1:${http}`,
    }
    const given = { ...settings, ...own }
    const command = (key: string): string[] =>
      service!
        [key]![0]!.replace(/^-/, '')
        .replace('/usr/bin/', '/usr/local/bin/')
        .replace('$MAINPID', `${process.pid}`)
        .split(' ')
    expect(run([...command('ExecStart'), '--check-config'], given).out).toBe('the configuration is good\n')
    const server = image.start(command('ExecStart'), { environment: given })
    expect(run(command('ExecStartPost'), given), server.log()).toEqual({ status: 0, out: '' })
    expect(await endOf(server), server.log()).toBe(0)
    expect(service!['KillSignal']).toEqual(['SIGTERM'])
  })
})

/** The status of an answer over HTTP, and its text. */
async function ask(options: RequestOptions): Promise<{ status: number | undefined; text: string }> {
  const request = (options.protocol === 'https:' ? https : http).get({ ...options, agent: false })
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  return { status: response.statusCode, text: await text(response) }
}

describe.skipIf(missing !== undefined || !longForm)('members of the chart', () => {
  const addresses = ['127.0.0.1', '127.0.0.12', '127.0.0.13']
  let port: number
  let prepared: Prepared
  let manifests: readonly Manifest[]
  let volumes: Record<string, SecretVolume>
  let pods: Pod[]
  let servers: Started[]
  const named = (kind: string): Manifest => manifests.find((each) => each.kind === kind)!

  beforeAll(async () => {
    prepared = doAsTheGuideTells(makeTemporaryDirectory())
    port = await freePort()
    const ports = { grpc: port, http: await freePort() }
    const values = { ...prepared.values, ports, serviceMonitor: { enabled: true } }
    manifests = renderChart(values, prepared.release)
    const set = named('StatefulSet')
    const { volumes: mounted, securityContext } = set.spec.template.spec
    const make = ({ secretName, defaultMode }: { secretName: string; defaultMode: number }) => {
      const volume = new SecretVolume(join(image.place, secretName), securityContext.fsGroup, defaultMode)
      volume.update(prepared.secrets[secretName]!)
      return [secretName, volume] as const
    }
    volumes = Object.fromEntries(mounted.flatMap(({ secret }) => (secret === undefined ? [] : [make(secret)])))
    pods = addresses.map((address, ordinal) => new Pod({ image, set, ordinal, address, secrets: volumes }))
    // What a cluster's DNS would say.
    const service = manifests.find(({ kind, spec }) => kind === 'Service' && spec.clusterIP === undefined)!
    const domain = `${set.spec.serviceName}.${prepared.namespace}.svc.cluster.local`
    const names = pods.map(({ name, address }) => `${address} ${name}.${domain}`)
    image.write('etc/hosts', [...names, `127.0.0.1 ${service.metadata.name}.${prepared.namespace}`, ''].join('\n'))
    image.write('etc/nsswitch.conf', 'hosts: files\n')
    servers = pods.map((pod) => pod.start())
  })

  const probe = async ({ address, container }: Pod, which: 'livenessProbe' | 'readinessProbe'): Promise<boolean> => {
    const { path, scheme, port: name } = container[which].httpGet!
    const { containerPort } = container.ports.find((each) => each.name === name)!
    const protocol = `${scheme.toLowerCase()}:`
    // A kubelet checks no certificate, and shows none.
    const asked = ask({ protocol, host: address, port: containerPort, path, rejectUnauthorized: false })
    return (await asked.catch(() => ({ status: 0 }))).status === 200
  }

  test('come up with the certificates and principals that the guide has made, and are found ready', async () => {
    for (const pod of pods) await eventually(`${pod.name} is ready`, () => probe(pod, 'readinessProbe'))
    for (const pod of pods) expect(await probe(pod, 'livenessProbe')).toBe(true)
    // The other kind of probes, for where everybody needs a certificate.
    const { tls } = prepared.values as { tls: object }
    const demanding = renderChart({ ports: { grpc: port }, tls: { ...tls, requireClientCert: true } })
    const [container] = demanding.find(({ kind }) => kind === 'StatefulSet')!.spec.template.spec.containers
    for (const { exec } of [container.livenessProbe, container.readinessProbe])
      expect(pods[1]!.exec(exec!.command)).toEqual({ status: 0, out: '' })
  })

  test('let in whom the guide makes, who begins at the service, and Prometheus as its monitor tells', async () => {
    const { argv, pod, input } = prepared.execs[0]!
    const created = pods.find(({ name }) => name === pod)!.exec(argv, input)
    const token = /^qkv_app_\S+$/m.exec(created.out)?.[0]
    expect(token, created.out).toBeDefined()
    const service = manifests.find(({ kind, spec }) => kind === 'Service' && spec.clusterIP === undefined)!
    const environment = { KV_TLS_CA: '/etc/quorumkv/tls/ca.crt', KV_TOKEN: token! }
    const readOnly = { '/etc/quorumkv/tls': volumes['kv-tls']!.path }
    const kv = (...words: string[]): Ran => {
      const endpoint = `${service.metadata.name}.${prepared.namespace}:${port}`
      return image.run(['kv', '--endpoints', endpoint, ...words], { environment, readOnly })
    }
    expect(kv('put', 'greeting', 'hello').status).toBe(0)
    // Each member is gone to by its own name.
    for (const key of ['a', 'b', 'c', 'd']) expect(kv('put', key, 'x', '--consistency', 'all').status).toBe(0)
    expect(kv('get', 'greeting').out).toBe('hello')

    const [endpoint] = named('ServiceMonitor').spec.endpoints
    const { path, scheme, tlsConfig, authorization } = endpoint!
    const secretText = ({ name, key }: { name: string; key: string }): string =>
      prepared.secrets[name]![key]!.toString().trim()
    const { status, text: figures } = await ask({
      protocol: `${scheme}:`,
      host: addresses[2],
      port: pods[2]!.container.ports[1]!.containerPort,
      path,
      ca: secretText(tlsConfig!.ca.secret),
      servername: tlsConfig!.serverName,
      headers: { authorization: `Bearer ${secretText(authorization!.credentials)}` },
    })
    expect({ status, figures }).toMatchObject({ status: 200, figures: expect.stringContaining('kv_') })
  })

  test('see a principal that is added to the secret, and stop when they may, with their own certificates', async () => {
    const entry = image.run(['kv-server', 'auth', 'hash', '--name', 'late', '--role', 'read']).out
    const KV_TOKEN = /qkv_late_\S+/.exec(entry)![0]
    const before = prepared.secrets['kv-auth']!
    volumes['kv-auth']!.update({
      ...before,
      'auth.yaml': `${before['auth.yaml']!.toString()}${entry.replace(/^/gm, '  ')}`,
    })
    const status = (): Ran => pods[1]!.exec(['env', '-u', 'KV_TOKEN_FILE', `KV_TOKEN=${KV_TOKEN}`, 'kv', 'status'])
    await eventually('the new principal is let in', () => status().status === 0)
    for (const { name, exec } of [pods[0]!, pods[1]!].map((pod) => ({ name: pod.name, exec: pod.exec.bind(pod) }))) {
      const { command } = named('StatefulSet').spec.template.spec.containers[0].lifecycle.preStop.exec
      for (const argv of [command, ['env', '-u', 'KV_TOKEN_FILE', ...command]]) {
        const { status: stopped, out } = exec(argv)
        expect({ name, stopped, out }).toEqual({ name, stopped: 0, out: `${name} may be stopped\n` })
      }
    }
    expect(await Promise.all(servers.map(endOf))).toEqual([0, 0, 0])
  })
})
