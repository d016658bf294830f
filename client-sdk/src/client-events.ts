import { EventEmitter } from 'node:events'
import { invalidArgument, type KvError } from './errors.js'
import type { ClusterTopology } from './operator/cluster-types.js'

/** A node as an event tells of it. */
export interface NodeEvent {
  /** `host:port`, as it is reached from here. */
  readonly address: string
  /** The member's id; undefined: no member, or not known to be one yet. */
  readonly id: string | undefined
}

/** What a client tells of by itself, and what its listeners get. */
export interface ClientEventMap {
  /** A node can be used that could not be, or was not known: it is connected, or answers again. */
  nodeUp: NodeEvent
  /** A node cannot be reached, or has stopped answering: operations go elsewhere until it can. Told once, and not for each attempt. */
  nodeDown: NodeEvent & {
    /** Why. */
    readonly error: KvError
  }
  /** Another topology than before is now gone by: the first one, or one of a later epoch. */
  topology: ClusterTopology
}

/** What can be listened to. */
export type ClientEventName = keyof ClientEventMap

/** What is called when it happens. */
export type ClientListener<E extends ClientEventName> = (event: ClientEventMap[E]) => void

const names: ReadonlySet<string> = new Set<ClientEventName>(['nodeUp', 'nodeDown', 'topology'])

/**
 * The listeners of a client. There is no event `error`, which in Node ends a process where nobody listens: failures are
 * what calls reject with. Listeners are called when the running code has ended: what one throws is an uncaught
 * exception of the program, and leaves the client as it is.
 */
export class ClientEvents {
  private readonly emitter = new EventEmitter()

  /** Throws `invalid-argument` where there is no such event. */
  on<E extends ClientEventName>(name: E, listener: ClientListener<E>): void {
    this.emitter.on(checkName(name), checkListener(listener))
  }

  /** As `on`, for the next time only. */
  once<E extends ClientEventName>(name: E, listener: ClientListener<E>): void {
    this.emitter.once(checkName(name), checkListener(listener))
  }

  /** Takes a listener back; one that is not there is no error. */
  off<E extends ClientEventName>(name: E, listener: ClientListener<E>): void {
    this.emitter.off(checkName(name), checkListener(listener))
  }

  emit<E extends ClientEventName>(name: E, event: ClientEventMap[E]): void {
    if (this.emitter.listenerCount(name) > 0) process.nextTick(() => this.emitter.emit(name, event))
  }
}

function checkName(name: unknown): string {
  if (typeof name === 'string' && names.has(name)) return name
  throw invalidArgument('event', `must be one of ${[...names].join(', ')}, got ${String(name)}`)
}

function checkListener<E extends ClientEventName>(listener: ClientListener<E>): ClientListener<E> {
  if (typeof listener === 'function') return listener
  throw invalidArgument('listener', 'must be a function')
}
