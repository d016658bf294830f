import { constants } from 'node:os'
import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js'
import type { Log } from '@quorumkv/internal/env'
import type { NodeConfig } from '../config/config.js'
import type { RunningNode } from '../hosted-node.js'
import { openLog } from '../logging.js'
import { startConfiguredNode } from '../start-node.js'
import { exitStatusOf, factsOf, isDecommissioned } from './exit.js'

/** Ends the process with the status that `error` stands for, at once: what is not acknowledged by now never is. */
function die(log: Log, message: string, error: unknown): never {
  const status = exitStatusOf(error)
  log.error(message, { ...factsOf(error), status })
  process.exit(status)
}

function watchForBugs(log: Log): void {
  process.on('uncaughtException', (error) => die(log, 'uncaught exception', error))
  process.on('unhandledRejection', (reason) => die(log, 'unhandled rejection', reason))
}

/**
 * Stops a node at the first SIGTERM or SIGINT, also one that is still starting, and when its cluster does not need it any
 * more; a second signal ends the process.
 */
class Ending {
  stopping = false
  readonly #log: Log
  readonly #starting: Promise<RunningNode>

  constructor(log: Log, starting: Promise<RunningNode>) {
    this.#log = log
    this.#starting = starting
    process.on('SIGTERM', (signal) => this.#receive(signal))
    process.on('SIGINT', (signal) => this.#receive(signal))
  }

  #receive(signal: NodeJS.Signals): void {
    if (this.stopping) {
      this.#log.warn('second signal: not waiting for what still runs', { signal })
      process.exit(128 + constants.signals[signal])
    }
    this.#begin('stopping', { signal })
  }

  /** The node has given away all that it had. */
  decommissioned(error: Error): void {
    if (!this.stopping) this.#begin(`stopping: ${error.message}`, {})
  }

  #begin(message: string, fields: Record<string, unknown>): void {
    this.stopping = true
    this.#log.info(message, fields)
    this.#stop().catch((error: unknown) => die(this.#log, 'could not stop in order', error))
  }

  async #stop(): Promise<void> {
    const node = await this.#starting
    await node.stop()
    this.#log.info('stopped')
    process.exit(0)
  }
}

async function reload(node: RunningNode, log: Log): Promise<void> {
  log.info('reading files again', { signal: 'SIGHUP' })
  try {
    await node.reload()
  } catch (error) {
    die(log, 'could not read files again', error)
  }
}

/** Runs a node until it is told to stop, and ends the process itself. */
export async function serve(config: NodeConfig): Promise<void> {
  // What gRPC prints on its own it also reports as an error, and that is logged.
  setLogVerbosity(logVerbosity.NONE)
  const log = await openLog(config.logLevel, config.logFormat)
  watchForBugs(log)
  const starting = startConfiguredNode(config, log, (error) => {
    if (isDecommissioned(error)) ending.decommissioned(error)
    else die(log, 'the node must end', error)
  })
  const ending: Ending = new Ending(log, starting)
  try {
    const node = await starting
    // Without files that may change, a hangup ends the process as it ends others.
    if (config.tlsCert !== undefined) process.on('SIGHUP', () => void reload(node, log))
    const { id, addresses, httpAddresses } = node
    log.info('listening', { id, addresses, httpAddresses, advertised: node.address })
    await node.ready
    log.info('ready', { id, addresses, httpAddresses, clusterId: node.clusterId })
  } catch (error) {
    // A node that is told to stop before it was ready will never be; that is not a failure.
    if (!ending.stopping) die(log, 'the node could not start', error)
  }
}
