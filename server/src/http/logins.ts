import { createHash, randomBytes } from 'node:crypto'
import { limits } from '@quorumkv/internal/base'
import type { Clock, Timer } from '@quorumkv/internal/env'
import type { Principal } from '../access/principal.js'

/** Somebody who has signed in with a browser. */
export interface Login {
  readonly principal: Principal
  /** It is none any more: signed out, or too old. */
  readonly over: boolean
}

interface Kept {
  readonly key: string
  readonly principal: Principal
  over: boolean
  timer: Timer | undefined
}

/** A handle is 256 bits of chance: what is looked up is its hash, of which the time that it takes tells nothing. */
function keyOf(handle: string): string {
  return createHash('sha256').update(handle).digest('base64')
}

/**
 * Who has signed in at this node. A browser gets a handle that is good here, for some hours, and for nothing else; it does not
 * get to keep the token, since it shows cookies to every port of a host. Handles are kept as hashes and in memory only.
 */
export class Logins {
  readonly #clock: Clock
  readonly #kept = new Map<string, Kept>()
  readonly #onChange = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#kept.size
  }

  /** Calls `changed` whenever somebody may be over. */
  onChange(changed: () => void): void {
    this.#onChange.add(changed)
  }

  /** Returns the handle. Who has signed in too many times already is signed out where that was longest ago. */
  open(principal: Principal): string {
    this.#forgetThoseWhoAreOver()
    const own = [...this.#kept.values()].filter((each) => each.principal === principal)
    if (own.length >= limits.loginsOfOneMax) this.#end(own[0]!)
    const handle = randomBytes(32).toString('base64url')
    const login: Kept = { key: keyOf(handle), principal, over: false, timer: undefined }
    login.timer = this.#clock.setTimer(limits.loginMs, () => this.#end(login))
    this.#kept.set(login.key, login)
    return handle
  }

  /** Undefined: nobody has signed in by this handle, or is not any more. */
  find(handle: string): Login | undefined {
    const login = this.#kept.get(keyOf(handle))
    return login === undefined || login.principal.over !== '' ? undefined : login
  }

  /** Signs out. */
  close(handle: string): void {
    const login = this.#kept.get(keyOf(handle))
    if (login !== undefined) this.#end(login)
  }

  /** Signs everybody out. */
  closeAll(): void {
    for (const login of [...this.#kept.values()]) this.#end(login)
  }

  #forgetThoseWhoAreOver(): void {
    for (const login of [...this.#kept.values()]) if (login.principal.over !== '') this.#end(login)
  }

  #end(login: Kept): void {
    login.over = true
    login.timer?.cancel()
    this.#kept.delete(login.key)
    for (const changed of this.#onChange) changed()
  }
}
