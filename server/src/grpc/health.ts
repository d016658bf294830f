import {
  status as grpcStatus,
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { KvError, limits } from '@quorumkv/internal/base'
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthListResponse,
  HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '@quorumkv/proto/health/v1/health'
import { toStatus } from '../calls/errors.js'
import { AddressPlaces, type PlaceLimits } from '../limits/address-places.js'

/** The whole server, and the service that a client of the store would ask about. */
const services: readonly string[] = ['', 'kv.v1.Kv']

/**
 * grpc.health.v1.Health: whether this node answers requests for keys. Nobody is asked who he is, and who watches stays for as long as
 * he likes, so the places are bounded. The library for it remembers, for ever, each name that was ever watched.
 */
export class Health {
  readonly #watchers = new Set<ServerWritableStream<HealthCheckRequest, HealthCheckResponse>>()
  readonly #places: AddressPlaces
  #status: ServingStatus = ServingStatus.NOT_SERVING

  /** `places` is another one only in tests. */
  constructor(
    server: Pick<Server, 'addService'>,
    places: PlaceLimits = { max: limits.healthWatchersMax, perAddressMax: limits.healthWatchersPerAddressMax },
  ) {
    this.#places = new AddressPlaces(places)
    server.addService(HealthService, {
      check: (
        { request }: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
        answer: sendUnaryData<HealthCheckResponse>,
      ) => {
        const status = this.#statusOf(request)
        if (status !== ServingStatus.SERVICE_UNKNOWN) answer(null, { status })
        else answer({ code: grpcStatus.NOT_FOUND, details: 'there is no such service' })
      },
      list: (_call: unknown, answer: sendUnaryData<HealthListResponse>) => {
        answer(null, { statuses: Object.fromEntries(services.map((name) => [name, { status: this.#status }])) })
      },
      watch: (call: ServerWritableStream<HealthCheckRequest, HealthCheckResponse>) => this.#watch(call),
    })
  }

  /** How many watch. */
  get watchers(): number {
    return this.#places.size
  }

  set(serving: boolean): void {
    this.#status = serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING
    for (const call of this.#watchers) call.write({ status: this.#status })
  }

  #statusOf({ service }: HealthCheckRequest): ServingStatus {
    return services.includes(service) ? this.#status : ServingStatus.SERVICE_UNKNOWN
  }

  #watch(call: ServerWritableStream<HealthCheckRequest, HealthCheckResponse>): void {
    const leave = this.#places.enter(call.getPeer(), (why) => {
      this.#watchers.delete(call)
      call.emit('error', toStatus(new KvError('overloaded', `too many watch the health: ${why}`), 'read'))
    })
    call.on('cancelled', () => {
      this.#watchers.delete(call)
      leave()
    })
    const status = this.#statusOf(call.request)
    // A service that is unknown stays so.
    if (status !== ServingStatus.SERVICE_UNKNOWN) this.#watchers.add(call)
    call.write({ status })
  }
}
