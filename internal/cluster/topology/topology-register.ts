import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import { assert, FatalError, type Incarnation, KvError, limits, type NodeId } from '../../base/index.js'
import {
  type AcceptorState,
  acceptorStep,
  beginRound,
  majority,
  type RegisterReply,
  type RegisterRequest,
  type Round,
  type RoundStep,
  stepRound,
} from '../../consensus/index.js'
import { type Clock, type Disk, DiskError, type Log, type Random } from '../../env/index.js'
import { Pauses, type PeerLink } from '../../replication/index.js'
import { type Member, type Topology, voters } from '../../slots/index.js'
import { farewell } from '../changes/objections.js'
import { replyFromMessage, replyToMessage, requestFromMessage, requestToMessage } from './register-messages.js'
import { writeTopology } from './topology-document.js'
import { readVotes, writeVotes } from './votes-document.js'

export interface TopologyRegisterOptions {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly log: Log
  readonly self: { readonly id: NodeId; readonly incarnation: Incarnation }
  /** To another member, by whatever link there is; without one nothing happens. */
  readonly send: (to: NodeId, part: Partial<PeerMessage>) => void
  /**
   * This document was decided, and is to be followed: what has to be durable before it is. Called again where it rejects
   * with KvError `read-only` because the disk is full.
   */
  readonly prepare?: (topology: Topology, before: Topology) => Promise<void>
  /** This document is durable here, and in force. */
  readonly adopted: (topology: Topology, before: Topology) => void
  /** Takes charge of work in the background. */
  readonly guard: (work: Promise<void>) => void
}

interface RunningRound {
  readonly acceptors: readonly Member[]
  round: Round<Topology>
  readonly ended: (round: Round<Topology>) => void
}

/**
 * A member's part in the agreement on topologies: it votes (`internal/consensus`), has the topology changed, and follows
 * what was decided. A member without a vote only follows. Everything that it writes is written one after the other, so every vote is about the epoch behind
 * the document that is durable here.
 */
export class TopologyRegister {
  readonly #options: TopologyRegisterOptions
  readonly #pauses: Pauses
  #topology: Topology
  #votes: AcceptorState<Topology> | undefined
  /** The newest epoch that is being adopted. */
  #coming: number
  #running: RunningRound | undefined
  #writing: Promise<unknown> = Promise.resolve()
  /** Requests that wait for their turn to be written. */
  #queued = 0
  #changing: Promise<unknown> = Promise.resolve()
  #stopped = false

  /** `topology` is on disk and names this node. Throws FatalError `corrupt`, and DiskErrors. */
  static async open(options: TopologyRegisterOptions, topology: Topology): Promise<TopologyRegister> {
    return new TopologyRegister(options, topology, await readVotes(options.disk))
  }

  private constructor(
    options: TopologyRegisterOptions,
    topology: Topology,
    votes: AcceptorState<Topology> | undefined,
  ) {
    this.#options = options
    this.#pauses = new Pauses(options.clock)
    this.#topology = topology
    this.#coming = topology.epoch
    this.#votes = votes
  }

  get topology(): Topology {
    return this.#topology
  }

  /** Idempotent. A change that runs ends soon. */
  stop(): void {
    this.#stopped = true
    this.#pauses.endAll()
  }

  /** What another member's message says about topologies to come. Returns why its link must end, or undefined. */
  received(from: NodeId | undefined, message: PeerMessage, link: PeerLink): string | undefined {
    try {
      if (message.registerRequest !== undefined) this.#asked(requestFromMessage(message.registerRequest), link)
      if (message.registerReply !== undefined && from !== undefined) {
        this.#replied(from, replyFromMessage(message.registerReply))
      }
      return undefined
    } catch (error) {
      if (error instanceof KvError) return `malformed message about the topology: ${error.message}`
      throw error
    }
  }

  /**
   * Follows a document that was decided; one that is not newer, or another cluster's, changes nothing. Throws FatalError
   * `refused` where it names another incarnation of this node, or none, and DiskErrors; FatalError `decommissioned` where
   * this node knew that it was leaving, and took part in it.
   */
  adopt(topology: Topology): Promise<void> {
    if (topology.clusterId !== this.#topology.clusterId || topology.epoch <= this.#coming) return Promise.resolve()
    const { self } = this.#options
    const named = topology.members.find(({ id }) => id === self.id)
    // At once: a former life must not go on serving because its disk is slow.
    if (named === undefined) return Promise.reject(this.#departed(topology))
    if (named.incarnation !== self.incarnation) return Promise.reject(replaced(self, topology))
    this.#coming = topology.epoch
    return this.#inTurn(() => this.#adopt(topology))
  }

  /**
   * Compare-and-set: `alter` says what is to follow the topology in force, or undefined where nothing is to be changed
   * any more; it is asked again whenever somebody else's change came first. Resolves when it says undefined, at once or
   * after its change has been adopted here. Throws KvError `unavailable` when no majority of the voters could be had in
   * time: then the change may still come; and at once where this node has no vote itself. The time runs from now on, also
   * while other changes of this node are under way: whoever has given up waiting is not to be surprised by it later.
   */
  change(alter: (topology: Topology) => Topology | undefined, timeoutMs: number): Promise<void> {
    const deadlineMs = this.#options.clock.monotonicMs() + timeoutMs
    const result = this.#changing.then(() => this.#change(alter, deadlineMs))
    this.#changing = result.catch(() => undefined)
    return result
  }

  async #change(alter: (topology: Topology) => Topology | undefined, deadlineMs: number): Promise<void> {
    const { clock, random } = this.#options
    let hindrance = 'changes of the topology that were asked for before took all the time'
    let backoffMs: number = limits.registerBackoffMsMin
    let [epoch, counter] = [0, 0]
    for (;;) {
      const before = this.#topology
      const value = alter(before)
      if (value === undefined) return
      assert(value.epoch === before.epoch + 1, 'a change makes the next epoch')
      const leftMs = deadlineMs - clock.monotonicMs()
      if (leftMs <= 0) throw new KvError('unavailable', hindrance)
      if (epoch !== value.epoch) [epoch, counter] = [value.epoch, 0]
      if (this.#votes?.epoch === epoch) counter = Math.max(counter, this.#votes.promised.counter)
      const round = await this.#round(before, value, ++counter, leftMs)
      if (round.phase === 'chosen') {
        await this.adopt(round.value!)
        // It may have come from elsewhere at the same time, and be on its way to the disk.
        await this.#writing
        continue
      }
      counter = Math.max(counter, round.outbidBy?.counter ?? 0)
      if (this.#stopped) throw new KvError('unavailable', 'this node is stopping')
      hindrance = obstacle(round)
      await this.#pauses.pause(Math.min(backoffMs * (0.5 + random.float()), deadlineMs - clock.monotonicMs()))
      backoffMs = Math.min(2 * backoffMs, limits.registerBackoffMsMax)
    }
  }

  /** One round, until it ends or takes too long. */
  #round(before: Topology, value: Topology, counter: number, leftMs: number): Promise<Round<Topology>> {
    const acceptors = voters(before)
    const self = acceptors.findIndex(({ id }) => id === this.#options.self.id)
    if (self < 0) throw new KvError('unavailable', 'this node has no vote on the topology yet')
    const ballot = { counter, number: acceptors[self]!.number }
    const begin = beginRound<Topology>({ epoch: value.epoch, ballot, acceptors: acceptors.length, self, value })
    return new Promise((resolve) => {
      const ended = (round: Round<Topology>): void => {
        stopWaiting()
        this.#running = undefined
        resolve(round)
      }
      const running: RunningRound = { acceptors, round: begin.round, ended }
      const stopWaiting = this.#pauses.begin(Math.min(limits.registerRoundMs, leftMs), () => ended(running.round))
      this.#running = running
      if (this.#stopped) ended(running.round)
      else this.#go(running, begin)
    })
  }

  #go(running: RunningRound, { round, to, request }: RoundStep<Topology>): void {
    running.round = round
    if (!['own', 'preparing', 'accepting'].includes(round.phase)) {
      running.ended(round)
      return
    }
    if (request === undefined) return
    for (const acceptor of to) {
      if (acceptor === round.self) this.#askSelf(running, request)
      else this.#options.send(running.acceptors[acceptor]!.id, { registerRequest: requestToMessage(request) })
    }
  }

  #askSelf(running: RunningRound, request: RegisterRequest<Topology>): void {
    const answered = this.#inTurn(() => this.#vote(request)).then((reply) => {
      if (reply === undefined || running !== this.#running) return
      this.#go(running, stepRound(running.round, running.round.self, reply))
    })
    this.#options.guard(answered)
  }

  #replied(from: NodeId, reply: RegisterReply<Topology>): void {
    const running = this.#running
    if (running === undefined) return
    const acceptor = running.acceptors.findIndex(({ id }) => id === from)
    if (acceptor >= 0) this.#go(running, stepRound(running.round, acceptor, reply))
  }

  #asked(request: RegisterRequest<Topology>, link: PeerLink): void {
    // Whoever is not answered asks again: nothing is kept for it beyond this.
    if (this.#queued >= limits.registerRequestsMax) return
    this.#queued++
    const answered = this.#inTurn(() => this.#vote(request)).then((reply) => {
      this.#queued--
      if (reply !== undefined) link.sendNow({ registerReply: replyToMessage(reply) })
    })
    this.#options.guard(answered)
  }

  /** The answer, once what it says is durable. Undefined: the disk is full, and nothing can be promised. */
  async #vote(request: RegisterRequest<Topology>): Promise<RegisterReply<Topology> | undefined> {
    const { state, reply } = acceptorStep(this.#topology.epoch, this.#votes, request)
    if (state !== undefined && state !== this.#votes) {
      if (!(await this.#written(() => writeVotes(this.#options.disk, state)))) return undefined
      this.#votes = state
    }
    return reply
  }

  async #adopt(topology: Topology): Promise<void> {
    const { disk, log, prepare, adopted } = this.#options
    const before = this.#topology
    if (topology.epoch <= before.epoch) return
    const follow = async (): Promise<void> => {
      await prepare?.(topology, before)
      await writeTopology(disk, topology)
    }
    while (!(await this.#written(follow))) {
      if (this.#stopped) return
      log.error('the disk is full: the newer topology cannot be followed yet', { epoch: topology.epoch })
      await this.#pauses.pause(limits.logHealIntervalMs)
    }
    log.info('following a newer topology', { epoch: topology.epoch, before: before.epoch })
    this.#topology = topology
    adopted(topology, before)
  }

  /**
   * A node that took part in its going, or was sent away in order before it owned anything, ends in order; one that slept
   * meanwhile is told what happened.
   */
  #departed(topology: Topology): FatalError {
    const { clusterId, epoch, removed } = topology
    const { id, incarnation } = this.#options.self
    const former = removed.find((each) => each.incarnation === incarnation)
    if (former === undefined) {
      return new FatalError(
        'refused',
        `${id} (incarnation ${incarnation}) is no member of cluster ${clusterId} at epoch ${epoch}`,
      )
    }
    const state = this.#topology.members.find((member) => member.id === id)?.state
    const knew = former.by !== 'remove' && (state === 'leaving' || state === 'left' || state === 'joining')
    return new FatalError(knew ? 'decommissioned' : 'refused', farewell(former, topology))
  }

  /** False: the disk has no room, which passes. */
  async #written(write: () => Promise<void>): Promise<boolean> {
    try {
      await write()
      return true
    } catch (error) {
      if (error instanceof DiskError && error.code === 'full') return false
      if (error instanceof KvError && error.code === 'read-only') return false
      throw error
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#writing.then(work)
    // Who asked for it is told of its failure, and a failed write ends the node.
    this.#writing = result.catch(() => undefined)
    return result
  }
}

function obstacle({ phase, acceptors, yes, ballot }: Round<Topology>): string {
  if (phase === 'outbid' || phase === 'ahead')
    return `other changes of the topology came before (ballot ${ballot.counter})`
  return `${yes.length} of ${acceptors} voting members answer, and a change of the topology needs ${majority(acceptors)}`
}

function replaced(self: TopologyRegisterOptions['self'], { epoch, clusterId }: Topology): FatalError {
  return new FatalError(
    'refused',
    `this data directory is of a former life of ${self.id} (incarnation ${self.incarnation}): at epoch ${epoch} cluster ` +
      `${clusterId} has taken in a new one under that name. Nothing in here is needed by the cluster any more; an empty ` +
      'data directory can take its place once the node that runs under the name now has ended',
  )
}
