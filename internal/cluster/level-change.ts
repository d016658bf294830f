import { FatalError, type Incarnation, KvError, limits, type NodeId } from '../base/index.js'
import type { Clock, Log } from '../env/index.js'
import { Pauses } from '../replication/index.js'
import { goesBy, type LevelRange, levelsText, type Topology, voters } from '../slots/index.js'
import { releveled } from './changes.js'
import type { TopologyRegister } from './topology-register.js'

/**
 * Throws FatalError `refused` where this software cannot go by what the cluster goes by: it was put back to a release from
 * before the level was raised, or has left out a release on the way up.
 */
export function checkSoftware(levels: LevelRange, { clusterId, featureLevel }: Topology): void {
  if (goesBy(levels, featureLevel)) return
  const advice = levels.max < featureLevel ? 'a newer release is needed' : 'go through the releases between'
  const message = `this software goes by ${levelsText(levels)}, and cluster ${clusterId} by level ${featureLevel}: ${advice}`
  throw new FatalError('refused', message)
}

export interface LevelChangeOptions {
  readonly clock: Clock
  readonly log: Log
  readonly self: { readonly id: NodeId; readonly incarnation: Incarnation }
  readonly levels: LevelRange
  readonly register: Pick<TopologyRegister, 'topology' | 'change'>
}

/** Has the topology say what this node's software goes by, after the node was started with another release. */
export class LevelChange {
  readonly #options: LevelChangeOptions
  readonly #pauses: Pauses
  #started = false
  #running = false

  constructor(options: LevelChangeOptions) {
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
   * vote, since another topology will give it one.
   */
  async adopted(): Promise<void> {
    if (this.#running || !this.#started) return
    this.#running = true
    const { levels, log, register, self } = this.#options
    while (!this.#pauses.stopped && this.#differs()) {
      try {
        await register.change((topology) => releveled(topology, { ...self, levels }), limits.returnChangeMs)
        log.info('the members know what this software goes by', { levels: levelsText(levels) })
      } catch (error) {
        if (!(error instanceof KvError)) throw error
        log.warn('the members have not agreed yet on what this software goes by', { reason: error.message })
        await this.#pauses.pause(limits.returnChangeMs)
      }
    }
    this.#running = false
  }

  #differs(): boolean {
    const { levels, register, self } = this.#options
    const own = voters(register.topology).find(({ id }) => id === self.id)
    return own !== undefined && (own.levels.min !== levels.min || own.levels.max !== levels.max)
  }
}
