import {
  type ChannelOptions,
  type handleUnaryCall,
  type Metadata,
  Server,
  type ServerErrorResponse,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { assert, KvError } from '@quorumkv/internal/base'
import { toStatus } from '../errors.js'
import { certificateName } from '../tls/names.js'
import type { AccessControl } from './access-control.js'
import { anyone, type Principal } from './principal.js'
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
 * Who makes a call, as the server has found out before the handler was called. `anyone` at a node that asks nobody.
 */
export function principalOf(call: object, { demanded }: Pick<AccessControl, 'demanded'>): Principal {
  if (!demanded) return anyone
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

  /** `table` is another one only in tests. */
  constructor(options: ChannelOptions, access: AccessControl, table: Readonly<Record<string, Rule>> = grpcTable) {
    super(options)
    this.#access = access
    this.#table = table
  }

  /** Throws FatalError `bug` where a method is not in the table, whether callers are asked who they are or not. */
  override addService(service: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    const guarded: UntypedServiceImplementation = { ...implementation }
    for (const [name, { path, originalName, requestStream, responseStream }] of Object.entries(service)) {
      const rule = ruleOf(this.#table, path)
      this.methods.add(path)
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
