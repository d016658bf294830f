import {
  type ChannelOptions,
  type handleUnaryCall,
  type Metadata,
  Server,
  type ServerCredentials,
  type ServerErrorResponse,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { assert, KvError, limits } from '@quorumkv/internal/base'
import { silentLog } from '@quorumkv/internal/env'
import { toStatus } from '../errors.js'
import { type GuardedHttp2Server, Http2Guard, type Http2GuardOptions } from '../limits/http2-guard.js'
import { certificateName } from '../tls/names.js'
import type { AccessControl } from './access-control.js'
import type { Principal } from './principal.js'
import { grpcTable, type Rule, ruleOf } from './table.js'

/** What every call of gRPC has, whatever its kind. */
interface Call {
  readonly metadata: Metadata
  getPeer(): string
  /** Empty unless the connection is encrypted, and an authority vouches for the caller's certificate. */
  getAuthContext(): { readonly sslPeerCertificate?: { readonly subjectaltname?: string | undefined } }
  emit(event: 'error', error: ServerErrorResponse): boolean
}

const caller = Symbol('principal')

/**
 * What this class uses of the library that is not for users of it: connections and streams are to be seen before the library
 * sees them. The version is pinned, and a server that has no such method is not made.
 */
interface Internals {
  createHttp2Server(credentials: ServerCredentials): GuardedHttp2Server
  readonly commonServerOptions: { settings?: object }
}

/**
 * Who makes a call, as the server has found out before the handler was called. `anyone` at a node that asks nobody.
 */
export function principalOf(call: object, access: Pick<AccessControl, 'demanded' | 'anyone'>): Principal {
  if (!access.demanded) return access.anyone
  const principal = (call as { [caller]?: Principal })[caller]
  assert(principal !== undefined, 'a handler is called only for callers who are known')
  return principal
}

/**
 * A gRPC server on which nothing can be called that the table of methods does not name, and nobody calls who may not. Services
 * that add themselves go the same way: there is no other.
 */
export class GuardedServer extends Server {
  readonly #access: AccessControl
  readonly #table: Readonly<Record<string, Rule>>
  /** The paths of all methods that can be called. */
  readonly methods: Set<string> = new Set()
  /** Those of them that take many messages. */
  readonly #streaming = new Set<string>()
  /** Holds the limits that the library does not. */
  readonly guard: Http2Guard

  /** `table` is another one only in tests. */
  constructor(
    options: ChannelOptions,
    access: AccessControl,
    table: Readonly<Record<string, Rule>> = grpcTable,
    guardOptions: Omit<Http2GuardOptions, 'takesStream'> = { log: silentLog },
  ) {
    super(options)
    this.#access = access
    this.#table = table
    this.guard = new Http2Guard({ ...guardOptions, takesStream: (path) => this.#streaming.has(path) })
    const internals = this as unknown as Internals
    const { createHttp2Server, commonServerOptions } = internals
    assert(typeof createHttp2Server === 'function', 'this version of grpc-js makes its servers as the pinned one does')
    commonServerOptions.settings = {
      ...commonServerOptions.settings,
      maxHeaderListSize: limits.callHeaderBytesMax,
    }
    internals.createHttp2Server = (credentials) => {
      const server = Reflect.apply(createHttp2Server, this, [credentials]) as GuardedHttp2Server
      this.guard.guard(server)
      return server
    }
  }

  /** Throws FatalError `bug` where a method is not in the table, whether callers are asked who they are or not. */
  override addService(service: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    const guarded: UntypedServiceImplementation = { ...implementation }
    for (const [name, { path, originalName, requestStream, responseStream }] of Object.entries(service)) {
      const rule = ruleOf(this.#table, path)
      this.methods.add(path)
      if (requestStream) this.#streaming.add(path)
      const field = implementation[name] === undefined ? (originalName ?? name) : name
      const handler = implementation[field]
      const isOpen = rule.permission === 'open' || rule.permission === 'peer'
      if (!this.#access.demanded || isOpen || handler === undefined) continue
      const one: Method = { path, rule, isWrite: rule.permission === 'write', bound: handler.bind(implementation) }
      guarded[field] = responseStream ? this.#guardStream(one) : this.#guardUnary(one)
      assert(responseStream || !requestStream, 'no method takes a stream and answers with one message')
    }
    super.addService(service, guarded)
  }

  #guardUnary({ path, rule, isWrite, bound }: Method): UntypedHandleCall {
    const handler = bound as handleUnaryCall<unknown, unknown>
    return (call: Parameters<typeof handler>[0], callback: sendUnaryData<unknown>): void => {
      const who = this.#admit(call, path, rule)
      if (who instanceof KvError) {
        callback(toStatus(who, isWrite ? 'write' : 'read'))
        return
      }
      if (!rule.audited) {
        handler(call, callback)
        return
      }
      const subject = subjectOf(call.request)
      handler(call, (error, ...answer) => {
        const reason = error === null ? '' : (error.details ?? '')
        const outcome = error === null ? 'ok' : String(error.code)
        this.#tell(path, who.name, call.getPeer(), outcome, reason, subject)
        callback(error, ...answer)
      })
    }
  }

  #guardStream({ path, rule, bound }: Method): UntypedHandleCall {
    const handler = bound as (call: Call) => void
    return (call: Call): void => {
      const who = this.#admit(call, path, rule)
      if (who instanceof KvError) call.emit('error', toStatus(who, 'read'))
      else handler(call)
    }
  }

  #admit(call: Call, path: string, { permission }: Rule): Principal | KvError {
    let who: Principal | undefined
    try {
      const authorization = call.metadata.get('authorization')[0]?.toString()
      who = this.#access.identify(authorization, () =>
        certificateName(call.getAuthContext().sslPeerCertificate?.subjectaltname),
      )
      if (permission === 'read' || permission === 'write' || permission === 'admin') who.checkRole(permission)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      this.#tell(path, who?.name ?? '', call.getPeer(), error.code, error.message, '')
      return error
    }
    Object.assign(call, { [caller]: who })
    return who
  }

  #tell(action: string, who: string, from: string, outcome: string, reason: string, subject: string): void {
    const more = { ...(reason === '' ? {} : { reason }), ...(subject === '' ? {} : { subject }) }
    this.#access.audit({ action, who, from, outcome, ...more })
  }
}

interface Method {
  readonly path: string
  readonly rule: Rule
  readonly isWrite: boolean
  readonly bound: UntypedHandleCall
}

/** Whom an administrative call is about, where its request names somebody. */
function subjectOf(request: unknown): string {
  const { id, name, by } = request as { id?: unknown; name?: unknown; by?: unknown }
  const named = [id ?? name, by].filter((text): text is string => typeof text === 'string' && text !== '')
  // Names that are none may be anything, also a token in the wrong place.
  return named.filter((text) => /^[a-z0-9-]{1,63}$/.test(text)).join(' ')
}
