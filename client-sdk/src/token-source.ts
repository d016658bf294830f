import { readFile } from 'node:fs/promises'
import type { KvClientOptions } from './client-options.js'
import { asKvError, invalidArgument, KvError } from './errors.js'
import { limits } from './limits.js'

type Fetch = () => Promise<string>

/**
 * The token that a client shows with each call, where it comes from, and when another one is asked for. It is told to nobody:
 * not by errors, not by traces, and not by whatever prints a client.
 */
export class TokenSource {
  readonly #fetch: Fetch
  readonly #renewable: boolean
  #header: string | undefined
  #fetching: Promise<void> | undefined
  #generation = 0
  #fetchedAt: number = Number.NEGATIVE_INFINITY

  private constructor(fetch: Fetch, renewable: boolean, token: string | undefined) {
    this.#fetch = fetch
    this.#renewable = renewable
    if (token !== undefined) this.#header = `Bearer ${token}`
  }

  /** Undefined: calls are made without one. Throws `invalid-argument`. */
  static of({ token, tokenFile }: Pick<KvClientOptions, 'token' | 'tokenFile'>): TokenSource | undefined {
    if (token !== undefined && tokenFile !== undefined) throw invalidArgument('token', 'cannot go with tokenFile')
    if (tokenFile !== undefined) {
      if (typeof tokenFile !== 'string' || tokenFile === '') throw invalidArgument('tokenFile', 'must be a path')
      return new TokenSource(() => fromFile(tokenFile), true, undefined)
    }
    const given: unknown = token ?? (process.env['KV_TOKEN'] || undefined)
    if (given === undefined) return undefined
    if (typeof given === 'function') return new TokenSource(async () => checkToken(await given()), true, undefined)
    const fixed = checkToken(given)
    return new TokenSource(async () => fixed, false, fixed)
  }

  /** What a call shows now; undefined: nothing has been fetched yet. */
  get header(): string | undefined {
    return this.#header
  }

  /** One more with each token that was given up: says which one a call was made with. */
  get generation(): number {
    return this.#generation
  }

  /** Resolves when there is a token. Rejects with KvError `unauthenticated` where it cannot be had. */
  ready(): Promise<void> {
    if (this.#header !== undefined) return Promise.resolve()
    this.#fetching ??= this.#fetchAnew().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  /**
   * A node does not take the token of that generation. Whether another one may be had: not where there is only one, and not where
   * the one that was refused has only just been asked for.
   */
  renew(generation: number): boolean {
    if (generation < this.#generation) return true
    if (!this.#renewable || performance.now() - this.#fetchedAt < limits.tokenRenewMsMin) return false
    this.#generation++
    this.#header = undefined
    return true
  }

  async #fetchAnew(): Promise<void> {
    let token: string
    try {
      token = await this.#fetch()
    } catch (cause) {
      throw new KvError('unauthenticated', `there is no token: ${asKvError(cause).message}`, { cause })
    }
    this.#header = `Bearer ${token}`
    this.#fetchedAt = performance.now()
  }
}

async function fromFile(path: string): Promise<string> {
  return checkToken((await readFile(path, 'utf8')).trim(), 'tokenFile')
}

/** Throws `invalid-argument`, without the text. */
function checkToken(token: unknown, field: string = 'token'): string {
  if (typeof token === 'string' && /^[\x21-\x7e]{1,4096}$/.test(token)) return token
  throw invalidArgument(field, 'must be a token: a text without spaces, or a function that gives one')
}
