import {
  status as grpcStatus,
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js'
import { KvError, limits } from '@quorumkv/internal/base'
import { service as definition, type ServingStatus } from 'grpc-health-check'
import { toStatus } from '../calls/errors.js'
import { AddressPlaces, type PlaceLimits } from '../limits/address-places.js'

/** The whole server, and the service that a client of the store would ask about. */
const services: readonly string[] = ['', 'kv.v1.Kv']

interface Request {
  readonly service: string
}

interface Answer {
  readonly status: ServingStatus | 'SERVICE_UNKNOWN'
}

/**
 * grpc.health.v1.Health: whether this node answers requests for keys. Nobody is asked who he is, and who watches stays for as long as
 * he likes, so the places are bounded. The library that has the definition remembers, for ever, each name that was ever watched.
 */
export class Health {
  readonly #watchers = new Set<ServerWritableStream<Request, Answer>>()
  readonly #places: AddressPlaces
  #status: ServingStatus = 'NOT_SERVING'

  /** `places` is another one only in tests. */
  constructor(
    server: Pick<Server, 'addService'>,
    places: PlaceLimits = { max: limits.healthWatchersMax, perAddressMax: limits.healthWatchersPerAddressMax },
  ) {
    this.#places = new AddressPlaces(places)
    server.addService(definition, {
      check: ({ request }: ServerUnaryCall<Request, Answer>, answer: sendUnaryData<Answer>) => {
        const status = this.#statusOf(request)
        if (status !== 'SERVICE_UNKNOWN') answer(null, { status })
        else answer({ code: grpcStatus.NOT_FOUND, details: 'there is no such service' })
      },
      list: (_call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) => {
        answer(null, { statuses: Object.fromEntries(services.map((name) => [name, { status: this.#status }])) })
      },
      watch: (call: ServerWritableStream<Request, Answer>) => this.#watch(call),
    })
  }

  /** How many watch. */
  get watchers(): number {
    return this.#places.size
  }

  set(serving: boolean): void {
    this.#status = serving ? 'SERVING' : 'NOT_SERVING'
    for (const call of this.#watchers) call.write({ status: this.#status })
  }

  #statusOf({ service }: Request): Answer['status'] {
    return services.includes(service) ? this.#status : 'SERVICE_UNKNOWN'
  }

  #watch(call: ServerWritableStream<Request, Answer>): void {
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
    if (status !== 'SERVICE_UNKNOWN') this.#watchers.add(call)
    call.write({ status })
  }
}
