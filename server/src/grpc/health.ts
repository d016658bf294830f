import type { Server } from '@grpc/grpc-js'
import { HealthImplementation } from 'grpc-health-check'

/** The whole server, and the service that a client of the store would ask about. */
const services = ['', 'kv.v1.Kv']

/** grpc.health.v1.Health: whether this node answers requests for keys. */
export class Health {
  readonly #implementation: HealthImplementation

  constructor(server: Server) {
    this.#implementation = new HealthImplementation(
      Object.fromEntries(services.map((service) => [service, 'NOT_SERVING'])),
    )
    this.#implementation.addToServer(server)
  }

  set(serving: boolean): void {
    for (const service of services) this.#implementation.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING')
  }
}
