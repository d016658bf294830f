import { assert, type NodeId } from '../../base/index.js'
import { RemoteReplica } from '../../replication/index.js'

/** The ways to the other members, for requests and for what is large; each has the link that is there at the moment. */
export class Remotes {
  readonly #forRequests = new Map<NodeId, RemoteReplica>()
  readonly #forBulk = new Map<NodeId, RemoteReplica>()
  readonly #stream: (on: boolean) => void
  /** Who streams at the moment. */
  readonly #streaming = new Set<string>()

  /** `stream`: links for what is large are wanted from now on, or not any more. */
  constructor(stream: (on: boolean) => void) {
    this.#stream = stream
  }

  /** The way to a member for requests, which is made when it is first asked for. */
  made(id: NodeId): RemoteReplica {
    const known = this.#forRequests.get(id)
    if (known !== undefined) return known
    const remote = new RemoteReplica()
    this.#forRequests.set(id, remote)
    this.#forBulk.set(id, new RemoteReplica())
    return remote
  }

  get(id: NodeId): RemoteReplica | undefined {
    return this.#forRequests.get(id)
  }

  bulk(id: NodeId): RemoteReplica | undefined {
    return this.#forBulk.get(id)
  }

  /** Where copies of slots come from. Until the link for them is there, they come over the other one. */
  source(id: NodeId): RemoteReplica {
    const [bulk, remote] = [this.#forBulk.get(id), this.#forRequests.get(id)]
    assert(bulk !== undefined && remote !== undefined, 'a node asks nothing of itself over a link')
    return bulk.up ? bulk : remote
  }

  /** Somebody begins to stream, or has ended. */
  streaming(who: string, on: boolean): void {
    if (on) this.#streaming.add(who)
    else this.#streaming.delete(who)
    this.#stream(this.#streaming.size > 0)
  }

  detachAll(): void {
    for (const remotes of [this.#forRequests, this.#forBulk]) {
      for (const remote of remotes.values()) {
        remote.detach()
        remote.giveUp()
      }
    }
  }
}
