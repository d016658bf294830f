import { type ClientRequest, type IncomingMessage, request as plainRequest } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { grpcTable, httpTable, type Rule } from '../../server/src/access/table.js'
import { samples as routeSamples } from '../../server/src/http/access.test-support.js'

/** What came of a call: it was let in, or why not. An answer that complains of something else was let in. */
export type Verdict = 'yes' | 'unauthenticated' | 'denied'

/** What callers show, as columns of the table; those after `other keys` show a certificate and no token. */
export const callers = [
  'no token',
  'malformed',
  'wrong',
  'revoked',
  'expired',
  'read',
  'write',
  'admin',
  'other keys',
  'client certificate',
  'node certificate',
] as const
export type CallerName = (typeof callers)[number]

const nobodies: readonly CallerName[] = ['no token', 'malformed', 'wrong', 'revoked', 'expired']
/** The principal of the client certificate may write. */
const roles = { read: 0, write: 1, admin: 2 } as const
const rolesOfCallers: Readonly<Partial<Record<CallerName, keyof typeof roles>>> = {
  read: 'read',
  write: 'write',
  admin: 'admin',
  'other keys': 'admin',
  'client certificate': 'write',
  'node certificate': 'read',
}

/** What a rule says of a caller, by the words of the documents and not by the code that decides. */
export function expectedOf(name: string, { permission, perKey }: Rule, caller: CallerName): Verdict {
  // Who shows a bad token is told so, also where none is needed.
  if (name === 'GET /whoami') return nobodies.indexOf(caller) > 0 ? 'unauthenticated' : 'yes'
  if (permission === 'open') return 'yes'
  if (permission === 'peer') {
    if (caller === 'node certificate') return 'yes'
    return caller === 'client certificate' ? 'denied' : 'unauthenticated'
  }
  const role = rolesOfCallers[caller]
  if (role === undefined) return 'unauthenticated'
  if (roles[role] < roles[permission]) return 'denied'
  const otherKeys = caller === 'other keys' || caller === 'node certificate'
  return perKey && otherKeys && !isWithoutKey(name) ? 'denied' : 'yes'
}

/** An empty key is bad input, and nobody's. */
export function isWithoutKey(name: string): boolean {
  return name.startsWith('/') ? false : name.endsWith('/')
}

export interface Row {
  readonly name: string
  readonly rule: Rule
}

/** Everything that can be called. What cannot be undone comes last. */
export const methods: readonly Row[] = Object.entries(grpcTable)
  .map(([name, rule]) => ({ name, rule }))
  .sort((a, b) => Number(a.name.endsWith('/Drain')) - Number(b.name.endsWith('/Drain')))
export const routes: readonly Row[] = Object.entries(httpTable).map(([name, rule]) => ({ name, rule }))

/** Certificate and key that a caller shows, and whom it trusts; undefined: plain. */
export interface CallerTls {
  readonly ca: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
}

export interface Told {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
}

/** A request to a node; of a stream the first part is read. */
export function ask(
  base: string,
  path: string,
  { method = 'GET', body, headers = {} }: RequestInit = {},
  tls?: CallerTls,
): Promise<Told> {
  return new Promise((resolve, reject) => {
    const options = { method, headers: headers as Record<string, string>, agent: false as const }
    const answered = (response: IncomingMessage): void => {
      let text = ''
      const done = (): void => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
        request.destroy()
      }
      response.setEncoding('utf8')
      response.on('data', (more: string) => {
        text += more
        const streams = response.headers['content-type']?.startsWith('text/event-stream') === true
        if (streams && text.includes('event: snapshot')) done()
      })
      response.on('end', done)
    }
    const url = `${base}${path}`
    const request: ClientRequest =
      tls === undefined ? plainRequest(url, options, answered) : tlsRequest(url, { ...options, ...tls }, answered)
    request.on('error', reject)
    request.end(body)
  })
}

/** A request of a route, as its handler would go on with. */
export async function askRoute(
  base: string,
  name: string,
  authorization: string | undefined,
  tls: CallerTls,
): Promise<Verdict> {
  const { path, init } = routeSamples[name]!
  const headers = {
    ...(init?.headers as Record<string, string> | undefined),
    ...(authorization === undefined ? {} : { authorization }),
  }
  const { status } = await ask(base, path, { ...init, headers }, tls)
  return status === 401 ? 'unauthenticated' : status === 403 ? 'denied' : 'yes'
}
