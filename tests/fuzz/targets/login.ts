import { GuardedApp, type TokenName } from '../../../server/src/http/access.test-support.js'
import { isToken } from '../../../server/src/tls/cluster-secret.js'
import { mutateText } from '../mutate.js'
import { Fault, type OpenTarget, type Target, type Verdict } from '../target.js'
import { partsOf, requestOf } from './http.js'

const bytes = (text: string): Uint8Array => Buffer.from(text)

const json = 'content-type:application/json'
/** `@reader`, and so on, stand for a token, and `%reader` for the handle of a login, so that inputs are the same in every run. */
const requests = [
  `POST\n/login\n${json}\n\n{"token":"@reader"}`,
  `POST\n/login\n${json}; charset=utf-8\norigin:http://kv.example:8080\ncookie:kv-login-8080=%writer\n\n{"token": "@writer"}`,
  `POST\n/login\n${json}\norigin:https://kv.example:8080\n\n{"token":"\\u0040reader","x":1}`,
  `POST\n/login\n${json}\n\n{"token":"@expired"}`,
  `POST\n/login\n${json}\n\n["@admin",{"token":"@stranger"}]`,
  `GET\n/whoami\ncookie:kv-login-8080=%reader`,
  `GET\n/whoami\ncookie:a=b; __Host-kv-login-8080=%reader; kv-login-8080="%writer"; kv-login-0=%40`,
  `GET\n/whoami\ncookie:kv-login-8080=%reader\nauthorization:Bearer @writer\nhost:kv.example:8080`,
  `GET\n/kv/app%2Fkey\ncookie:kv-login-8080=%reader\nsec-fetch-site:same-origin`,
  `POST\n/logout\ncookie:kv-login-8080=%reader; kv-login-8080=%writer`,
  `POST\n/logout\norigin:http://kv.example:8080\ncookie:__Host-kv-login-8080=%writer`,
]
const words = [
  '@reader',
  '%writer',
  '@',
  '%',
  '%3D',
  ';',
  '=',
  '"',
  '\\u0000',
  '__proto__',
  'cookie:',
  'host:a:1\n',
  '\n',
]

interface Whoami {
  readonly by: string
  readonly principal: { readonly name: string } | null
}

/**
 * Bodies of `/login`, cookies, and `/logout`. Whoever is let in has shown a token that is one, or a handle that was given for one
 * and was not given back; and no answer tells a token.
 */
class Logins {
  readonly #guarded = new GuardedApp()
  /** Whose each handle is that was ever given, also of those that are over. */
  readonly #given = new Map<string, string>()
  readonly #handles = new Map<TokenName, string>()
  readonly #tokens: readonly (readonly [name: TokenName, token: string])[]

  constructor() {
    this.#tokens = Object.entries(this.#guarded.tokens) as [TokenName, string][]
  }

  /** Signs those in who are not. */
  async signIn(): Promise<void> {
    for (const name of ['reader', 'writer'] as const) {
      const cookie = `kv-login-8080=${this.#handles.get(name)}`
      const asked = await this.#guarded.request('/whoami', {}, { cookie })
      if (((await asked.json()) as Whoami).principal !== null) continue
      const handle = (await this.#guarded.cookie(name)).split('=')[1]!
      this.#handles.set(name, handle)
      this.#given.set(handle, name)
    }
  }

  async run(input: Uint8Array): Promise<Verdict> {
    await this.signIn()
    const shown = this.#filledIn(Buffer.from(input).toString('latin1'))
    const parts = partsOf(Buffer.from(shown, 'latin1'))
    const { method, path, headers } = parts
    const request = requestOf({ ...parts, path: path.startsWith('/') ? path : `/${path}` })
    if (request === undefined) return 'refused'
    const { app, lines, bugs } = this.#guarded.told
    const asked = new Request(request.url.replace('http://localhost', 'http://kv.example:8080'), request)
    const response = await app.request(asked)
    const [bug] = bugs.splice(0)
    if (bug !== undefined) throw bug
    if (response.status === 500) throw new Fault('answered as an internal error')
    const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
    const body = isStream ? '' : await response.text()
    if (isStream) await response.body?.cancel()
    this.#checkSecrets(body + JSON.stringify([...response.headers]) + JSON.stringify(lines.splice(0)), response)
    const cookies = headers.filter(([name]) => name.toLowerCase() === 'cookie').map(([, value]) => value)
    if (path === '/login' && response.status === 200) this.#checkLogin(shown, response)
    if (path === '/whoami' && response.status === 200 && method === 'GET') {
      this.#checkWhoami(JSON.parse(body) as Whoami, cookies.join(';'), shown)
    }
    if (path === '/logout' && response.status === 204) await this.#checkLogout(asked)
    return response.status < 300 ? 'taken' : 'refused'
  }

  close(): void {
    this.#guarded[Symbol.dispose]()
  }

  #filledIn(text: string): string {
    let filled = text
    for (const [name, token] of this.#tokens) filled = filled.replaceAll(`@${name}`, token)
    for (const [name, handle] of this.#handles) filled = filled.replaceAll(`%${name}`, handle)
    return filled
  }

  #checkSecrets(told: string, { status }: Response): void {
    for (const [name, token] of this.#tokens)
      if (told.includes(token)) throw new Fault(`an answer of ${status}, or the log, tells the token of ${name}`)
  }

  #checkLogin(shown: string, response: Response): void {
    const handle = /^[^=]+=([^;]+)/.exec(response.headers.get('set-cookie') ?? '')?.[1]
    if (!isToken(handle)) throw new Fault('signed in without a handle')
    const whose = this.#tokens.find(
      ([name, token]) => shown.includes(token) && name !== 'stranger' && name !== 'expired',
    )
    if (whose === undefined) throw new Fault('signed in without a token')
    this.#given.set(handle, '')
  }

  #checkWhoami({ by, principal }: Whoami, cookies: string, shown: string): void {
    if (principal === null) return
    const { name } = principal
    const token = this.#tokens.find(([each]) => each === name)?.[1]
    const byToken = token !== undefined && shown.includes(`Bearer ${token}`)
    const byLogin = [...this.#given].some(
      ([handle, whose]) => cookies.includes(handle) && (whose === '' || whose === name),
    )
    if (!(by === 'token' ? byToken || /bearer/i.test(shown) : by === 'login' && byLogin))
      throw new Fault(`is taken for ${name}, by ${by}`)
  }

  /** Who has signed out is nobody any more with the same cookies. */
  async #checkLogout(asked: Request): Promise<void> {
    const headers = { cookie: asked.headers.get('cookie') ?? '', host: asked.headers.get('host') ?? 'kv.example:8080' }
    const again = await this.#guarded.request('/whoami', {}, headers)
    if (!again.ok) return
    if (((await again.json()) as Whoami).by === 'login') throw new Fault('is still signed in')
  }
}

export const login: Target = {
  name: 'login',
  share: 9,
  async open(): Promise<OpenTarget> {
    const logins = new Logins()
    const corpus = requests.map(bytes)
    return {
      make: (random) => mutateText(random, corpus, words),
      run: (input) => logins.run(input),
      close: async () => logins.close(),
    }
  },
}
