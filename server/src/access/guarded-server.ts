import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import {
  type ChannelOptions,
  type handleUnaryCall,
  type Metadata,
  Server,
  type ServerCredentials,
  type ServerErrorResponse,
  type ServiceDefinition,
  type StatusObject,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { assert, KvError, limits } from '@quorumkv/internal/base'
import { silentLog } from '@quorumkv/internal/env'
import { type OperationKind, toStatus } from '../calls/errors.js'
import { type GuardedHttp2Server, Http2Guard, type Http2GuardOptions } from '../limits/http2-guard.js'
import { type ShownCertificate, shownCertificate } from '../tls/names.js'
import type { AccessControl } from './access-control.js'
import { denied, type Principal } from './principal.js'
import { grpcTable, type Rule, ruleOf } from './table.js'

/** What every call of gRPC has, whatever its kind. */
interface Call {
  readonly metadata: Metadata
  getPeer(): string
  emit(event: 'error', error: ServerErrorResponse): boolean
  on(event: 'error', listener: (error: Partial<StatusObject>) => void): unknown
}

const caller = Symbol('principal')
/** Where the number of an admitted call stands among its headers. */
const ticketKey = 'kv-ticket'

/** What the certificate of a connection says, where an authority of this node vouches for it. Throws `permission-denied`. */
function certificateOf(socket: Socket | undefined): ShownCertificate | undefined {
  return socket instanceof TLSSocket && socket.authorized ? shownCertificate(socket.getPeerCertificate()) : undefined
}

function kindOf({ permission }: Rule): OperationKind {
  return permission === 'write' ? 'write' : 'read'
}

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
  /** Those of them that only other nodes call. */
  readonly #forNodes = new Set<string>()
  /** By path: those whose callers have to say who they are. */
  readonly #closed = new Map<string, Rule>()
  /** Whose calls have been let in, and have not come to their handlers: by what stands in their headers. */
  readonly #admitted = new Map<string, Principal>()
  #tickets = 0
  /** Holds the limits that the library does not. */
  readonly guard: Http2Guard

  /** `table` is another one only in tests. */
  constructor(
    options: ChannelOptions,
    access: AccessControl,
    table: Readonly<Record<string, Rule>> = grpcTable,
    guardOptions: Omit<Http2GuardOptions, 'takesStream' | 'isForNodes' | 'refuses'> = { log: silentLog },
  ) {
    super(options)
    this.#access = access
    this.#table = table
    this.guard = new Http2Guard({
      ...guardOptions,
      takesStream: (path) => this.#streaming.has(path),
      isForNodes: (path) => this.#forNodes.has(path),
      refuses: (stream, headers) => this.#refuses(stream, headers),
    })
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
      if (rule.permission === 'peer') this.#forNodes.add(path)
      const field = implementation[name] === undefined ? (originalName ?? name) : name
      const handler = implementation[field]
      const isOpen = rule.permission === 'open' || rule.permission === 'peer'
      if (!this.#access.demanded || isOpen || handler === undefined) continue
      const one: Method = { path, rule, bound: handler.bind(implementation) }
      this.#closed.set(path, rule)
      guarded[field] = responseStream ? this.#guardStream(one) : this.#guardUnary(one)
      assert(responseStream || !requestStream, 'no method takes a stream and answers with one message')
    }
    super.addService(service, guarded)
  }

  #guardUnary({ path, rule, bound }: Method): UntypedHandleCall {
    const handler = bound as handleUnaryCall<unknown, unknown>
    return (call: Parameters<typeof handler>[0], callback: sendUnaryData<unknown>): void => {
      const who = this.#callerOf(call, path)
      if (who instanceof KvError) {
        callback(toStatus(who, kindOf(rule)))
        return
      }
      if (!rule.audited && who.unrestricted) {
        handler(call, callback)
        return
      }
      const subject = rule.audited ? subjectOf(call.request) : ''
      handler(call, (error, ...answer) => {
        const outcome = outcomeOf(error)
        const isRun = rule.audited === 'run' && this.#access.beginsRun(path, who, outcome)
        if (rule.audited === true || isRun || outcome === 'permission-denied') {
          this.#tell(path, who.name, call.getPeer(), outcome, error?.details ?? '', subject)
        }
        callback(error, ...answer)
      })
    }
  }

  #guardStream({ path, bound }: Method): UntypedHandleCall {
    const handler = bound as (call: Call) => void
    return (call: Call): void => {
      const who = this.#callerOf(call, path)
      if (who instanceof KvError) {
        call.emit('error', toStatus(who, 'read'))
        return
      }
      if (!who.unrestricted) {
        call.on('error', (error) => {
          const outcome = outcomeOf(error)
          if (outcome === 'permission-denied') {
            this.#tell(path, who.name, call.getPeer(), outcome, error.details ?? '', '')
          }
        })
      }
      handler(call)
    }
  }

  /**
   * Looks at who calls before anything but the headers of a call is read: strangers have no message of theirs kept or decoded. Whoever
   * is let in is found by a number that is put into the headers, where what the caller may have put there itself is lost.
   */
  #refuses(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): ServerErrorResponse | undefined {
    const path = headers[':path'] ?? ''
    const rule = this.#closed.get(path)
    if (rule === undefined) return undefined
    const who = this.#identify(path, rule, headers.authorization, stream.session?.socket)
    if (who instanceof KvError) return toStatus(who, kindOf(rule))
    const ticket = String(++this.#tickets)
    headers[ticketKey] = ticket
    this.#admitted.set(ticket, who)
    stream.once('close', () => this.#admitted.delete(ticket))
    return undefined
  }

  #identify(
    path: string,
    rule: Rule,
    authorization: string | undefined,
    socket: Socket | undefined,
  ): Principal | KvError {
    const { permission, perKey } = rule
    let who: Principal | undefined
    try {
      who = this.#access.identify(authorization, () => certificateOf(socket))
      // What it shows may be overheard, and must not hold a place of a session. A certificate is its own: an operator's client
      // has a session beside the calls with which it looks at the node, and is refused each key.
      if (perKey && who.source === 'node' && authorization !== undefined)
        throw denied(`${who.name} may call nothing that is about keys`)
      if (permission === 'read' || permission === 'write' || permission === 'admin') who.checkRole(permission)
      return who
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      const from = socket?.remoteAddress === undefined ? 'unknown' : `${socket.remoteAddress}:${socket.remotePort}`
      this.#tell(path, who?.name ?? '', from, error.code, error.message, '')
      return error
    }
  }

  /** Who has been let in with this call; an error where they are nobody any more now that their message is here. */
  #callerOf(call: Call, path: string): Principal | KvError {
    const ticket = call.metadata.get(ticketKey)[0]?.toString() ?? ''
    const who = this.#admitted.get(ticket)
    // It has been reset since, and gRPC goes on for a moment with what it has read of it.
    if (who === undefined) return new KvError('cancelled', 'the call was given up', { outcome: 'not-applied' })
    this.#admitted.delete(ticket)
    try {
      who.checkValid()
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      this.#tell(path, who.name, call.getPeer(), error.code, error.message, '')
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
  readonly bound: UntypedHandleCall
}

/** As the audit log names what came of a call: refusals as everywhere, other failures by their number. */
function outcomeOf(error: Partial<StatusObject> | null): string {
  if (error === null) return 'ok'
  if (error.code === status.PERMISSION_DENIED) return 'permission-denied'
  return error.code === status.UNAUTHENTICATED ? 'unauthenticated' : String(error.code)
}

/** Whom an administrative call is about, where its request names somebody. */
function subjectOf(request: unknown): string {
  const { id, name, by } = request as { id?: unknown; name?: unknown; by?: unknown }
  const named = [id ?? name, by].filter((text): text is string => typeof text === 'string' && text !== '')
  // Names that are none may be anything, also a token in the wrong place.
  return named.filter((text) => /^[a-z0-9-]{1,63}$/.test(text)).join(' ')
}
