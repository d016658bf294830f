import { type ClientOptions, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { KvError, limits } from '@quorumkv/internal/base'
import type { Clock } from '@quorumkv/internal/env'
import { ClusterClient, type FiguresResponse } from '@quorumkv/proto/kv/v1/cluster'
import type { Certificates } from '../tls/certificates.js'
import { memberCredentials } from '../tls/member-credentials.js'

/** A member that is asked. */
export interface CalledMember {
  readonly id: string
  readonly address: string
}

const options: ClientOptions = {
  'grpc.keepalive_time_ms': limits.keepaliveTimeMs,
  'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
  // A member that comes back is to be heard at once, and not when a pause of minutes is over.
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.enable_channelz': 0,
  // Each of these is the only one to its member.
  'grpc.use_local_subchannel_pool': 1,
}

function toError({ code, details }: ServiceError): KvError {
  const late = code === status.DEADLINE_EXCEEDED
  return late
    ? new KvError('timeout', `it has not answered within ${limits.memberCallMs} ms`)
    : new KvError('unavailable', details)
}

interface Connection {
  readonly address: string
  readonly client: ClusterClient
}

/** What members are asked over gRPC, as clients ask: one connection to each, made when it is first asked. */
export class MemberCalls {
  readonly #clock: Clock
  readonly #certificates: Certificates | undefined
  readonly #authorization: (to: string) => string | undefined
  readonly #connections = new Map<string, Connection>()

  /**
   * `certificates`: undefined where members do not speak TLS. `authorization`: what shows a member, given by its id, that a node calls; undefined:
   * nothing but the certificate.
   */
  constructor(clock: Clock, certificates: Certificates | undefined, authorization: (to: string) => string | undefined) {
    this.#clock = clock
    this.#authorization = authorization
    this.#certificates = certificates
    // A connection keeps the certificate that it was made with. Questions under way fail, as when the member is away.
    certificates?.onChange(() => this.keep())
  }

  /** What a member measures of itself; rejects with KvError that says why it does not, within `limits.memberCallMs`. */
  figures(member: CalledMember, eventsAfter: bigint): Promise<FiguresResponse> {
    const deadline = this.#clock.wallMs() + limits.memberCallMs
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, response: FiguresResponse): void => {
        if (error === null) resolve(response)
        else reject(toError(error))
      }
      const metadata = new Metadata()
      const authorization = this.#authorization(member.id)
      if (authorization !== undefined) metadata.set('authorization', authorization)
      this.#client(member).figures({ eventsAfter }, metadata, { deadline }, done)
    })
  }

  /** Closes the connections to all but these; none given: all. Calls that run on them fail. */
  keep(ids: ReadonlySet<string> = new Set()): void {
    for (const [id, { client }] of this.#connections) {
      if (ids.has(id)) continue
      client.close()
      this.#connections.delete(id)
    }
  }

  #client({ id, address }: CalledMember): ClusterClient {
    const known = this.#connections.get(id)
    if (known?.address === address) return known.client
    known?.client.close()
    const { credentials, more } = memberCredentials(this.#certificates, id)
    const client = new ClusterClient(address, credentials, { ...options, ...more })
    this.#connections.set(id, { address, client })
    return client
  }
}
