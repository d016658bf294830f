import { type ShallowRef, shallowRef } from 'vue'
import { hexOf } from '../keys.js'

export type Role = 'read' | 'write' | 'admin'

/** Who looks at the page. The token that they have signed in with is kept nowhere: the browser has a cookie that scripts cannot see. */
export type Session =
  | { readonly state: 'asking' }
  /** The node asks nobody. */
  | { readonly state: 'open' }
  | { readonly state: 'out'; readonly why: string }
  | {
      readonly state: 'in'
      readonly name: string
      readonly role: Role
      /** What they know them by; who is known by a certificate cannot sign out. */
      readonly by: string
      /** What their keys begin with; none: all keys. */
      readonly prefixes: readonly Prefix[]
    }

export interface Prefix {
  readonly text: string
  readonly notation: 'text' | 'hex'
}

interface Whoami {
  readonly authentication: boolean
  readonly by: string
  readonly principal: {
    readonly name: string
    readonly role: Role
    readonly prefixes: readonly { readonly prefix?: string; readonly prefixBase64?: string }[]
  } | null
}

export const session: ShallowRef<Session> = shallowRef({ state: 'asking' })

/** Before the node answers it is asked again after so long. */
const againMs = 2_000

function toPrefix({ prefix, prefixBase64 = '' }: { prefix?: string; prefixBase64?: string }): Prefix {
  if (prefix !== undefined) return { text: prefix, notation: 'text' }
  return { text: hexOf(Uint8Array.from(atob(prefixBase64), (each) => each.charCodeAt(0))), notation: 'hex' }
}

function toSession({ authentication, by, principal }: Whoami, before: Session): Session {
  if (!authentication) return { state: 'open' }
  if (principal === null) {
    const was = before.state === 'in' ? 'You are not signed in any more.' : ''
    return { state: 'out', why: before.state === 'out' ? before.why : was }
  }
  const { name, role, prefixes } = principal
  return { state: 'in', name, role, by, prefixes: prefixes.map(toPrefix) }
}

/** The same again would have those who watch begin anew. */
function become(next: Session): void {
  if (JSON.stringify(next) !== JSON.stringify(session.value)) session.value = next
}

let asked: Promise<void> | undefined

async function ask(): Promise<void> {
  try {
    const response = await fetch('/whoami')
    if (response.ok) become(toSession((await response.json()) as Whoami, session.value))
    else throw new TypeError(`status ${response.status}`)
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error
    if (session.value.state === 'asking') setTimeout(() => void askWho(), againMs)
  }
}

/** Finds out who looks, from the node; what cannot be found out stays as it is. */
export function askWho(): Promise<void> {
  asked ??= ask().finally(() => {
    asked = undefined
  })
  return asked
}

/** Resolves to why it was not possible; empty: signed in. */
export async function signIn(token: string): Promise<string> {
  try {
    const response = await fetch('/login', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    })
    if (response.ok) {
      become(toSession((await response.json()) as Whoami, session.value))
      return ''
    }
    if (response.status === 401) return 'The node does not know this token: it is wrong, was revoked, or has expired.'
    return `The node answers with status ${response.status}.`
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error
    return 'The node that serves this page cannot be reached.'
  }
}

export async function signOut(): Promise<void> {
  try {
    await fetch('/logout', { method: 'POST' })
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    // What cannot be reached cannot be left either; the page still says who is signed in.
    return
  }
  become({ state: 'out', why: 'You are signed out.' })
}

/** Whether the page may offer to change keys; the node decides. */
export function mayWrite(who: Session): boolean {
  return who.state === 'open' || (who.state === 'in' && who.role !== 'read')
}
