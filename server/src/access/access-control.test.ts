import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, rmdirSync, symlinkSync, unlinkSync } from 'node:fs'
import { KvError } from '@quorumkv/internal/base'
import type { Timer } from '@quorumkv/internal/env'
import { type Grant, nobodyGranted, type Topology } from '@quorumkv/internal/slots'
import { newToken } from '@quorumkv/proto/tokens'
import { describe, expect, test } from 'vitest'
import { fakeTopology } from '../calls/fake-node.test-support.js'
import { type LogLine, recordingLog } from '../calls/services.test-support.js'
import { ClusterSecret } from '../tls/cluster-secret.js'
import type { CertificateName } from '../tls/names.js'
import { entry, expiringEntry, grantOf, TestAuthFile } from './access.test-support.js'
import { AccessControl } from './access-control.js'
import { AuditRuns, openAudit } from './audit.js'
import { AuthFile } from './auth-file.js'
import { CallerProof } from './caller-proof.js'

function member(id: string): Topology['members'][number] {
  return { ...fakeTopology(3).members[0]!, id: id as never }
}

/** A node whose time moves when it is told to. */
class Scene implements Disposable {
  readonly file: TestAuthFile
  readonly lines: LogLine[] = []
  readonly access: AccessControl
  nowMs = 1_700_000_000_000
  topology: Topology | undefined = { ...fakeTopology(3), featureLevel: 2, members: ['n1', 'n2'].map(member) }
  #fire: () => void = () => undefined

  constructor(secret?: ClusterSecret, file: TestAuthFile = new TestAuthFile()) {
    this.file = file
    const log = recordingLog(this.lines)
    const clock = {
      wallMs: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      setTimer: (_: number, fire: () => void): Timer => {
        this.#fire = fire
        return { cancel: () => undefined }
      },
      defer: () => undefined,
    }
    this.access = new AccessControl({
      clock,
      log,
      audit: openAudit(log, () => this.nowMs),
      file: new AuthFile(this.file.path),
      node: () => ({ id: 'n1' as never, topology: this.topology }),
      proof: secret === undefined ? undefined : new CallerProof(secret, clock),
    })
  }

  /** A second goes by. */
  tick(): void {
    this.nowMs += 1_000
    this.#fire()
  }

  grant(...grants: Grant[]): void {
    const { access = nobodyGranted } = this.topology ?? {}
    this.topology = { ...this.topology!, access: { revision: access.revision + 1, grants } }
  }

  [Symbol.dispose](): void {
    this.access.stop()
    this.file[Symbol.dispose]()
  }
}

function failure(act: () => unknown): Partial<KvError> {
  try {
    return { message: `gave ${String(act())}` }
  } catch (error) {
    expect(error).toBeInstanceOf(KvError)
    return error as KvError
  }
}

const token = newToken('app')
const bearer = `Bearer ${token}`

describe('who a principal is', () => {
  test('it stays the same object while nothing about it changes, whatever else does', () => {
    using scene = new Scene()
    const other = grantOf(newToken('z'), 'z', 'read')
    scene.grant(grantOf(token, 'app', 'write', ['a']))
    const first = scene.access.identify(bearer)
    scene.grant(grantOf(token, 'app', 'write', ['a']), other)
    scene.topology = { ...scene.topology!, access: { ...scene.topology!.access } }
    expect(scene.access.identify(bearer)).toBe(first)
    scene.grant(grantOf(token, 'app', 'write', ['b']), other)
    const changed = scene.access.identify(bearer)
    expect(changed).not.toBe(first)
    expect(failure(() => first.checkValid())).toMatchObject({ code: 'unauthenticated', outcome: 'not-applied' })
  })

  test('a revocation and an expiry are told to those who hold it, within a second without any call', () => {
    using scene = new Scene()
    let told = 0
    scene.access.onChange(() => told++)
    scene.grant(grantOf(token, 'app', 'write'), {
      ...grantOf(newToken('b'), 'b', 'read'),
      expiresAtMs: scene.nowMs + 1_500,
    })
    const app = scene.access.identify(bearer)
    const before = told
    scene.tick()
    expect([told, app.over]).toEqual([before, ''])
    scene.tick()
    expect(told).toBe(before + 1)
    scene.grant()
    scene.tick()
    expect(app.over).toBe('the token has been revoked')
    expect(failure(() => scene.access.identify(bearer))).toMatchObject({ code: 'unauthenticated' })
  })

  test('before a node knows what the members have agreed on, it does not say of anybody that they are nobody', () => {
    using scene = new Scene()
    scene.topology = undefined
    expect(failure(() => scene.access.identify(bearer))).toMatchObject({ code: 'unavailable' })
    expect(scene.access.identify(`Bearer ${scene.file.token}`)).toMatchObject({ name: 'root', source: 'file' })
    expect(failure(() => scene.access.identify(undefined))).toMatchObject({ code: 'unauthenticated' })
  })
})

describe('who shows no token', () => {
  const certified = (scene: Scene, change: Partial<CertificateName> = {}) => {
    const name = {
      kind: 'client',
      clusterId: scene.topology!.clusterId,
      principal: 'app',
      ...change,
    } as CertificateName
    return scene.access.identify(undefined, () => ({ name, toMs: scene.nowMs + 1_000 }))
  }

  test('is the principal that the certificate names, for as long as there is one of that name', () => {
    using scene = new Scene()
    expect(failure(() => certified(scene))).toMatchObject({ code: 'unauthenticated' })
    scene.grant(grantOf(token, 'app', 'write', ['a']))
    expect(certified(scene)).toBe(scene.access.identify(bearer))
    expect(failure(() => certified(scene, { clusterId: 'f'.repeat(32) as never }))).toMatchObject({
      code: 'unauthenticated',
    })
    scene.grant()
    expect(failure(() => certified(scene))).toMatchObject({ code: 'unauthenticated' })
  })

  test('is another node by its certificate, and may look and nothing else', () => {
    using scene = new Scene()
    const name = { kind: 'node', clusterId: scene.topology!.clusterId, nodeId: 'n2' } as CertificateName
    const toMs = scene.nowMs + 1_000
    const node = scene.access.identify(undefined, () => ({ name, toMs }))
    expect(node).toMatchObject({ role: 'read', source: 'node', mayWrite: false, mayAdminister: false })
  })

  test('is nobody once the certificate has expired, or the node has been removed, though the connection is open', () => {
    using scene = new Scene()
    const nodeName = { kind: 'node', clusterId: scene.topology!.clusterId, nodeId: 'n2' } as CertificateName
    const clientName = { kind: 'client', clusterId: scene.topology!.clusterId, principal: 'app' } as CertificateName
    scene.grant(grantOf(token, 'app', 'write'))
    const toMs = scene.nowMs + 1_500
    const shown = (name: CertificateName) => scene.access.identify(undefined, () => ({ name, toMs }))
    expect([shown(nodeName).name, shown(clientName).name]).toEqual(['node n2', 'app'])
    const { topology } = scene
    scene.topology = { ...topology!, members: topology!.members.filter(({ id }) => id !== 'n2') }
    expect(failure(() => shown(nodeName))).toMatchObject({
      code: 'unauthenticated',
      message: 'node n2 is no member of the cluster',
    })
    scene.topology = topology
    scene.nowMs = toMs + 1
    for (const name of [nodeName, clientName]) {
      expect(failure(() => shown(name))).toMatchObject({
        code: 'unauthenticated',
        message: expect.stringContaining('has expired since the connection was made'),
      })
    }
  })

  test('is another node by the secret, once within a minute; what it shows is nobody’s elsewhere, later, again, or under another name', () => {
    const secret = new ClusterSecret(Buffer.alloc(32, 7))
    using scene = new Scene(secret)
    const [first, second] = [scene.access.asNode('n1')!, scene.access.asNode('n1')!]
    expect(first).not.toContain(Buffer.alloc(32, 7).toString('base64url'))
    expect(scene.access.identify(first)).toMatchObject({ name: 'node n1', role: 'read' })
    expect(failure(() => scene.access.identify(first))).toMatchObject({ code: 'unauthenticated' })
    expect(scene.access.identify(second)).toMatchObject({ name: 'node n1' })
    const shown = scene.access.asNode('n1')!
    const bad = [
      shown.replace('n1', 'n2'),
      shown.replace(/ \d+ /, ` ${scene.nowMs + 1} `),
      `${shown}x`,
      shown.slice(0, -1),
      scene.access.asNode('n2')!,
    ]
    for (const each of bad)
      expect(failure(() => scene.access.identify(each))).toMatchObject({ code: 'unauthenticated' })
    using stranger = new Scene(new ClusterSecret(Buffer.alloc(32, 8)))
    expect(failure(() => stranger.access.identify(shown))).toMatchObject({ code: 'unauthenticated' })
    using open = new Scene()
    expect(failure(() => open.access.identify(shown))).toMatchObject({ code: 'unauthenticated' })
    scene.nowMs += 61_000
    expect(failure(() => scene.access.identify(shown))).toMatchObject({ code: 'unauthenticated' })
  })
})

describe('the auth file', () => {
  test('is read again when it changes, also by a rename; one that is no good is told of once, and changes nothing', () => {
    using scene = new Scene()
    const { file, access, lines } = scene
    const second = newToken('second')
    file.write(entry(second, 'second'))
    scene.tick()
    expect(access.identify(`Bearer ${second}`).name).toBe('second')
    expect(failure(() => access.identify(`Bearer ${file.token}`))).toMatchObject({ code: 'unauthenticated' })
    for (const [text, mode] of [
      ['principals: []', 0o600],
      [entry(file.token), 0o644],
      [`${second}: x`, 0o600],
      [`${entry(file.token)}    prefixes: ['']\n`, 0o600],
    ] as const) {
      lines.length = 0
      file.write(text, mode)
      for (let i = 0; i < 3; i++) scene.tick()
      expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1)
      expect(JSON.stringify(lines)).not.toContain(second.slice(-43))
      expect(access.identify(`Bearer ${second}`).name).toBe('second')
    }
    lines.length = 0
    renameSync(file.path, `${file.path}.gone`)
    for (let i = 0; i < 3; i++) scene.tick()
    expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1)
    renameSync(`${file.path}.gone`, file.path)
    file.write(entry(file.token), 0o640)
    scene.tick()
    expect(access.identify(`Bearer ${file.token}`).name).toBe('root')
  })

  test('must have an admin who has not expired, at the start and later', () => {
    using scene = new Scene()
    const { file, access, lines } = scene
    const errors = (): number => lines.filter(({ level }) => level === 'error').length
    file.write(expiringEntry(newToken('other'), scene.nowMs - 1))
    expect(() => new Scene(undefined, file)).toThrow(/every admin of all keys in it has expired/)
    for (let i = 0; i < 3; i++) scene.tick()
    expect(errors()).toBe(1)
    expect(access.identify(`Bearer ${file.token}`).name).toBe('root')
    file.write(expiringEntry(file.token, scene.nowMs + 2_500))
    for (let i = 0; i < 2; i++) scene.tick()
    expect([errors(), access.identify(`Bearer ${file.token}`).name]).toEqual([1, 'root'])
    for (let i = 0; i < 3; i++) scene.tick()
    expect(failure(() => access.identify(`Bearer ${file.token}`))).toMatchObject({ message: 'the token has expired' })
    expect(
      lines.filter(({ message }) => message.startsWith('the last admin of the auth file has expired')),
    ).toHaveLength(1)
  })

  test('may turn into anything while the node runs: it goes on with who stood there', () => {
    using scene = new Scene()
    const { file, access, lines } = scene
    renameSync(file.path, `${file.path}.gone`)
    const others: readonly (readonly [() => void, () => void])[] = [
      // A chain of links without an end cannot even be looked at.
      [() => symlinkSync(file.path, file.path), () => unlinkSync(file.path)],
      [() => mkdirSync(file.path), () => rmdirSync(file.path)],
      [() => execFileSync('mkfifo', ['-m', '600', file.path]), () => unlinkSync(file.path)],
      [() => file.write(''), () => unlinkSync(file.path)],
    ]
    for (const [make, remove] of others) {
      lines.length = 0
      make()
      for (let i = 0; i < 3; i++) scene.tick()
      remove()
      expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1)
      expect(access.identify(`Bearer ${file.token}`).name).toBe('root')
    }
    renameSync(`${file.path}.gone`, file.path)
    scene.tick()
    expect(access.identify(`Bearer ${file.token}`).name).toBe('root')
  })
})

test('refusals cannot fill a disk, and those of callers whom nobody knows hide no others: they are counted', () => {
  const lines: LogLine[] = []
  let nowMs = 0
  const audit = openAudit(recordingLog(lines), () => nowMs)
  const refused = { action: 'a', from: 'x', outcome: 'unauthenticated' }
  // Anybody can ask a node that does not know yet who may call, send what is no login, and sign out.
  const outcomes = ['unavailable', 'unauthenticated', 'invalid-argument', 'ok']
  for (let i = 0; i < 1_000; i++) audit({ ...refused, who: '', outcome: outcomes[i % 4]! })
  for (let i = 0; i < 30; i++) audit({ ...refused, who: 'known', outcome: 'permission-denied' })
  audit({ ...refused, who: 'known', outcome: 'unavailable' })
  expect(lines).toHaveLength(41)
  nowMs = 1_000
  audit({ ...refused, who: '' })
  expect(lines[41]!.facts).toMatchObject({ refusals: 990 })
  audit({ action: 'a', who: 'known', from: 'x', outcome: 'ok' })
  expect(lines.at(-1)).toMatchObject({ level: 'info', facts: { log: 'audit', who: 'known' } })
})

test('of calls that come by the hundreds the first is told, and the first after a minute without any', () => {
  const runs = new AuditRuns()
  const firsts = (what: string, ...times: number[]): number[] => times.filter((ms) => runs.isFirst(what, ms))
  expect(firsts('backup root', 0, 1, 59_000, 118_000, 178_000, 178_001)).toEqual([0, 178_000])
  expect(firsts('backup other', 178_002, 178_003)).toEqual([178_002])
  expect(firsts('backup root', 238_000, 238_002)).toEqual([])
  expect(firsts('backup other', 238_003)).toEqual([238_003])
})
