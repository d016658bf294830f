import { TLSSocket } from 'node:tls'
import { KvError } from '@quorumkv/internal/base'
import type { Context } from 'hono'
import { getCookie } from 'hono/cookie'
import type { AccessControl } from '../access/access-control.js'
import { anyone, type Principal } from '../access/principal.js'
import { type ShownCertificate, shownCertificate } from '../tls/names.js'
import type { HttpEnv } from './http-parts.js'
import type { Login, Logins } from './logins.js'

/** Who asks, and how that is known. */
export interface Caller {
  readonly principal: Principal
  readonly by: 'nothing' | 'token' | 'login' | 'certificate'
  /** Given where `by` is `login`. */
  readonly login?: Login
}

/** Whoever asks a node that asks nobody. */
export const anyCaller: Caller = { principal: anyone, by: 'nothing' }

/** Whether somebody who was known is nobody any more. */
export function isOver({ principal, login }: Caller): boolean {
  return principal.over !== '' || login?.over === true
}

/** Whether the connection of a request is encrypted, as far as this node sees. */
export function isEncrypted(c: Context<HttpEnv>): boolean {
  return c.env?.incoming?.socket instanceof TLSSocket
}

/** What the certificate of the connection says, if an authority of this node vouches for it. Throws `permission-denied`. */
function certificateOf(c: Context<HttpEnv>): ShownCertificate | undefined {
  const socket = c.env?.incoming?.socket
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  return shownCertificate(socket.getPeerCertificate())
}

/**
 * Browsers show a cookie to every port of a host, and keep one of each name for all of them: so that nodes side by side on one
 * machine do not sign each other's users out, the port is in the name.
 */
export function cookieName(c: Context<HttpEnv>): string {
  const authority = c.req.header('host') ?? new URL(c.req.url).host
  return `kv-login-${/:(\d{1,5})$/.exec(authority)?.[1] ?? '0'}`
}

/** The handle of a login that a request shows. */
export function handleOf(c: Context<HttpEnv>): string | undefined {
  const name = cookieName(c)
  return getCookie(c, name, 'host') ?? getCookie(c, name)
}

/**
 * What nodes show each other over gRPC where they have no certificates is not taken here, where none of them calls: it can be
 * overheard, and is good for a minute, while a feed that was begun with it would go on for ever.
 */
function byToken(authorization: string, access: AccessControl): Principal {
  const principal = access.identify(authorization)
  if (principal.source !== 'node') return principal
  throw new KvError('unauthenticated', 'a token is needed', { outcome: 'not-applied' })
}

/**
 * Who makes a request: by the token that it shows, or by where its browser has signed in, or by the certificate of its connection,
 * in this order. Undefined: it shows nothing, or a login that is over. Throws as `AccessControl.identify`.
 */
export function callerOf(c: Context<HttpEnv>, access: AccessControl, logins: Logins): Caller | undefined {
  if (!access.demanded) return { principal: access.anyone, by: 'nothing' }
  const authorization = c.req.header('authorization')
  if (authorization !== undefined) return { principal: byToken(authorization, access), by: 'token' }
  access.refresh()
  const handle = handleOf(c)
  const login = handle === undefined ? undefined : logins.find(handle)
  if (login !== undefined) return { principal: login.principal, by: 'login', login }
  const certificate = certificateOf(c)
  if (certificate === undefined) return undefined
  return { principal: access.identify(undefined, () => certificate), by: 'certificate' }
}
