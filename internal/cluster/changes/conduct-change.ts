import { FatalError, type Incarnation, KvError, limits, type NodeId } from '../../base/index.js'
import type { Clock, Log } from '../../env/index.js'
import { Pauses } from '../../replication/index.js'
import { type Conduct, demandsAuthentication, goesBy, levelsText, type Topology, voters } from '../../slots/index.js'
import { withoutAuthentication } from '../links/handshake.js'
import type { TopologyRegister } from '../topology/topology-register.js'
import { declared, sayableConduct } from './changes.js'

/**
 * Throws FatalError `refused` where the cluster cannot have a member that runs so. Its software cannot go by what the cluster
 * goes by: it was put back to a release from before the level was raised, or has left out a release on the way up. Or it would
 * let in anybody, where every member demands of callers that they say who they are.
 */
export function checkConduct({ levels, authenticates }: Conduct, topology: Topology): void {
  const { clusterId, featureLevel } = topology
  if (!authenticates && demandsAuthentication(topology))
    throw new FatalError('refused', withoutAuthentication(topology))
  if (goesBy(levels, featureLevel)) return
  const advice = levels.max < featureLevel ? 'a newer release is needed' : 'go through the releases between'
  const message = `this software goes by ${levelsText(levels)}, and cluster ${clusterId} by level ${featureLevel}: ${advice}`
  throw new FatalError('refused', message)
}

export interface ConductChangeOptions {
  readonly clock: Clock
  readonly log: Log
  readonly self: { readonly id: NodeId; readonly incarnation: Incarnation }
  readonly conduct: Conduct
  readonly register: Pick<TopologyRegister, 'topology' | 'change'>
}

/** Has the topology say how this node runs, after it was started with another release, or with authentication. */
export class ConductChange {
  readonly #options: ConductChangeOptions
  readonly #pauses: Pauses
  #started = false
  #running = false

  constructor(options: ConductChangeOptions) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
  }

  /** Idempotent. */
  stop(): void {
    this.#pauses.stop()
  }

  /** Begins, once the node serves. As `adopted`. */
  run(): Promise<void> {
    this.#started = true
    return this.adopted()
  }

  /**
   * Another topology is in force. Resolves when it says what it should, when this runs already, and where this node has no
   * vote, since another topology will give it one. Throws FatalError as `checkConduct`.
   */
  async adopted(): Promise<void> {
    checkConduct(this.#options.conduct, this.#options.register.topology)
    if (this.#running || !this.#started) return
    this.#running = true
    const { conduct, log, register, self } = this.#options
    while (!this.#pauses.stopped && this.#differs()) {
      try {
        await register.change((topology) => declared(topology, { ...self, ...conduct }), limits.returnChangeMs)
        const { levels, authenticates } = conduct
        log.info('the members know how this node runs', { levels: levelsText(levels), authenticates })
      } catch (error) {
        if (!(error instanceof KvError)) throw error
        log.warn('the members have not agreed yet on how this node runs', { reason: error.message })
        await this.#pauses.pause(limits.returnChangeMs)
      }
    }
    this.#running = false
  }

  #differs(): boolean {
    const { conduct, register, self } = this.#options
    const own = voters(register.topology).find(({ id }) => id === self.id)
    if (own === undefined) return false
    const { levels, authenticates } = sayableConduct(register.topology, conduct)
    return own.levels.min !== levels.min || own.levels.max !== levels.max || own.authenticates !== authenticates
  }
}
