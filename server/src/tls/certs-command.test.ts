import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exitStatusOf } from '../commands/exit.js'
import { runCerts } from './certs-command.js'
import { ClusterSecret } from './cluster-secret.js'
import { readMaterial } from './material.js'
import { certificateName } from './names.js'

let root: string

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'kv-certs-'))
})

afterAll(() => rmSync(root, { recursive: true, force: true }))

async function certs(...argv: string[]): Promise<string> {
  let text = ''
  const out = (more: string): void => {
    text += more
  }
  expect(await runCerts(argv, { out })).toBe(0)
  return text
}

async function refused(...argv: string[]): Promise<string> {
  const error = await runCerts(argv, { out: () => undefined }).then(
    () => expect.unreachable('accepted'),
    (reason: unknown) => reason,
  )
  expect(exitStatusOf(error)).toBe(2)
  return (error as Error).message
}

const material = (dir: string, name: string) =>
  readMaterial({ cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`), ca: join(dir, 'ca.crt') }, Date.now())

describe('kv-server certs', () => {
  it('secret makes a file that --cluster-secret-file takes, each time another, and never over one', async () => {
    const [path, other] = [join(root, 'secret'), join(root, 'other-secret')]
    await certs('secret', path)
    await certs('secret', other)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(String(await ClusterSecret.read(path))).toBe('[secret]')
    expect(readFileSync(path, 'utf8')).not.toBe(readFileSync(other, 'utf8'))
    expect(await refused('secret', path)).toMatch(/cannot make .*EEXIST/)
    expect(await refused('secret', '/proc/quorumkv')).toMatch(/cannot make .*(ENOENT|EACCES)/)
  })

  it('init says at once where no directory can be made', async () => {
    expect(await refused('init', '--dir', '/proc/quorumkv/certs', '--nodes', 'n1')).toMatch(
      /cannot make .*(ENOENT|EACCES)/,
    )
  })

  it('init makes an authority, and certificates with which nodes of one cluster can be started', async () => {
    const dir = join(root, 'init')
    const text = await certs(
      'init',
      '--dir',
      dir,
      '--nodes',
      'n1,n2',
      '--host',
      'kv.example',
      '--host',
      'n1=10.0.0.1,*.n1.example',
      '--client',
      'app',
    )
    const [n1, n2] = [await material(dir, 'n1'), await material(dir, 'n2')]
    expect([n1.name?.nodeId, n2.name?.nodeId]).toEqual(['n1', 'n2'])
    expect(n1.name?.clusterId).toBe(n2.name?.clusterId)
    expect(text).toContain(`cluster ${n1.name?.clusterId}\n`)
    expect(text).toContain(`kv-server --tls-cert ${dir}/n1.crt --tls-key ${dir}/n1.key --tls-ca ${dir}/ca.crt`)
    const hosts = ['localhost', '127.0.0.1', '::1', 'kv.example', '10.0.0.1', 'a.n1.example', 'other.example']
    expect(hosts.map((host) => n1.isFor(host))).toEqual([true, true, true, true, true, true, false])
    expect(hosts.map((host) => n2.isFor(host))).toEqual([true, true, true, true, false, false, false])
    const app = new X509Certificate(readFileSync(join(dir, 'client-app.crt')))
    expect(certificateName(app.subjectAltName)).toEqual({
      kind: 'client',
      clusterId: n1.name?.clusterId,
      principal: 'app',
    })
    for (const name of readdirSync(dir)) {
      expect([name, statSync(join(dir, name)).mode & 0o777]).toEqual([name, name.endsWith('.key') ? 0o600 : 0o644])
    }
  })

  it('issue adds to what is there, and renews', async () => {
    const dir = join(root, 'issue')
    await certs('init', '--dir', dir, '--nodes', 'n1')
    const before = await material(dir, 'n1')
    await certs('issue', '--dir', dir, '--nodes', 'n1,n4', '--days', '500')
    const after = await material(dir, 'n1')
    expect(after.name).toEqual(before.name)
    expect(after.facts[0]!.toMs - before.facts[0]!.toMs).toBeGreaterThan(130 * 86_400_000)
    expect((await material(dir, 'n4')).name?.clusterId).toBe(before.name?.clusterId)
  })

  it('show tells what stands in a certificate, and when it ends', async () => {
    const dir = join(root, 'show')
    await certs('init', '--dir', dir, '--nodes', 'n1')
    expect(await certs('show', join(dir, 'n1.crt'))).toMatch(
      /subject +n1\nissuer +CN=QuorumKV cluster (?:.|\n)*\(36\d days left\)\nnames .*URI:quorumkv:(?:.|\n)*use +server, client/,
    )
    expect(await certs('show', join(dir, 'ca.crt'))).toContain('signs certificates')
  })

  it('init leaves alone an authority that is there', async () => {
    const dir = join(root, 'twice')
    await certs('init', '--dir', dir, '--nodes', 'n1')
    const before = readFileSync(join(dir, 'ca.crt'), 'utf8')
    expect(await refused('init', '--dir', dir, '--nodes', 'n1')).toContain('holds an authority already')
    expect(readFileSync(join(dir, 'ca.crt'), 'utf8')).toBe(before)
  })

  it.each([
    [['init', '--nodes', 'n1'], "required option '--dir"],
    [['init', '--dir', '/nowhere/x', '--nodes', 'N1'], '--nodes: must be 1 to 63'],
    [['init', '--dir', '/etc/hostname/x'], '--nodes: must name'],
    [['init', '--dir', '/etc/hostname/x', '--nodes', 'n1'], 'cannot make /etc/hostname/x'],
    [['init', '--dir', 'd', '--nodes', 'n1', '--host', 'n2=h'], '--host: "n2" is none of --nodes'],
    [['init', '--dir', 'd', '--nodes', 'n1', '--host', 'h:1'], '--host: must be names'],
    [['init', '--dir', 'd', '--client', 'a b'], '--client: must be'],
    [['init', '--dir', 'd', '--nodes', 'n1', '--days', '0'], '--days: must be 1 to 3650'],
    [['issue', '--dir', '/nowhere', '--nodes', 'n1'], 'cannot read /nowhere/ca.crt'],
    [['show', '/nowhere'], 'cannot read /nowhere'],
    [['show', '/etc/hostname'], 'holds no certificate'],
    [['burn'], "unknown command 'burn'"],
  ])('%j is refused, and nothing is made', async (argv, message) => {
    expect(await refused(...argv)).toContain(message)
  })

  it('--help says what there is', async () => {
    expect(await certs('--help')).toContain('kv-server certs issue --dir certs --nodes n4')
  })
})
