import { newToken } from '@quorumkv/proto/tokens'
import { demandingAccess, grantOf, TestAuthFile } from '../access/access.test-support.js'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { type TestApp, testApp } from './app.test-support.js'

const names = ['reader', 'writer', 'admin', 'elsewhere', 'revoked', 'expired', 'stranger'] as const
export type TokenName = (typeof names)[number]

/** A request of each route, which its handler would go on with, and that hurts nobody. */
export const samples: Readonly<Record<string, { readonly path: string; readonly init?: RequestInit }>> = {
  'GET /livez': { path: '/livez' },
  'GET /readyz': { path: '/readyz' },
  'GET /': { path: '/' },
  'GET /favicon.svg': { path: '/favicon.svg' },
  'GET /assets/*': { path: '/' },
  'GET /whoami': { path: '/whoami' },
  'POST /login': {
    path: '/login',
    init: { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' },
  },
  'POST /logout': { path: '/logout', init: { method: 'POST' } },
  'GET /version': { path: '/version' },
  'GET /openapi.json': { path: '/openapi.json' },
  'GET /metrics': { path: '/metrics' },
  'GET /cluster': { path: '/cluster' },
  'GET /routing_table': { path: '/routing_table' },
  'GET /feed': { path: '/feed' },
  'GET /partition/': { path: '/partition/' },
  'GET /partition/:key': { path: '/partition/app%2Fkey' },
  'GET /locate/:key': { path: '/locate/app%2Fkey' },
  'GET /kv': { path: '/kv?prefix=app%2Fkey' },
  'GET /kv/': { path: '/kv/' },
  'GET /kv/:key': { path: '/kv/app%2Fkey' },
  'PUT /kv/': { path: '/kv/', init: { method: 'PUT', body: 'v' } },
  'PUT /kv/:key': { path: '/kv/app%2Fkey', init: { method: 'PUT', body: 'v' } },
  'DELETE /kv/': { path: '/kv/', init: { method: 'DELETE' } },
  'DELETE /kv/:key': { path: '/kv/app%2Fkey', init: { method: 'DELETE' } },
}

/** An application that asks who calls, and those whom it knows. */
export class GuardedApp implements Disposable {
  readonly file: TestAuthFile = new TestAuthFile()
  readonly node: FakeNode = new FakeNode()
  readonly tokens: Readonly<Record<TokenName, string>>
  readonly told: TestApp

  constructor(tuning: Parameters<typeof testApp>[1] = {}) {
    this.tokens = Object.fromEntries(names.map((name) => [name, newToken(name)])) as Record<TokenName, string>
    const grants = [
      grantOf(this.tokens.admin, 'admin', 'admin', ['app/']),
      grantOf(this.tokens.elsewhere, 'elsewhere', 'admin', ['other/', 'app/keys', 'b']),
      { ...grantOf(this.tokens.expired, 'expired', 'admin'), expiresAtMs: 1_000 },
      grantOf(this.tokens.reader, 'reader', 'read', ['app/']),
      grantOf(this.tokens.revoked, 'revoked', 'admin'),
      grantOf(this.tokens.writer, 'writer', 'write', ['app/']),
    ]
    this.node.topology = { ...fakeTopology(3), featureLevel: 2, access: { revision: 1, grants } }
    this.told = testApp(this.node, tuning, demandingAccess(this.file))
  }

  /** Somebody is nobody any more. */
  revoke(name: TokenName): void {
    const { topology } = this.node
    const { revision, grants } = topology!.access
    const left = grants.filter((grant) => grant.name !== name)
    this.node.topology = { ...topology!, access: { revision: revision + 1, grants: left } }
    this.told.services.access.refresh()
  }

  request(path: string, init: RequestInit = {}, headers: Record<string, string> = {}): Promise<Response> {
    const all = { ...(init.headers as Record<string, string> | undefined), ...headers }
    return Promise.resolve(this.told.app.request(`http://kv.example:8080${path}`, { ...init, headers: all }))
  }

  /** As who shows this token. */
  as(name: TokenName, path: string, init: RequestInit = {}): Promise<Response> {
    return this.request(path, init, { authorization: `Bearer ${this.tokens[name]}` })
  }

  login(token: string, headers: Record<string, string> = {}): Promise<Response> {
    const json = { 'content-type': 'application/json', ...headers }
    return this.request('/login', { method: 'POST', body: JSON.stringify({ token }) }, json)
  }

  /** Signs in, and returns what a browser would say in `cookie` from then on. */
  async cookie(name: TokenName): Promise<string> {
    const response = await this.login(this.tokens[name])
    return /^[^;]+/.exec(response.headers.get('set-cookie') ?? '')![0]
  }

  [Symbol.dispose](): void {
    this.told.services.access.stop()
    this.file[Symbol.dispose]()
  }
}
