import type { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import type { Address, NodeId } from '../../base/index.js'
import type { PeerLink, RemoteReplica } from '../../replication/index.js'
import type { Member } from '../../slots/index.js'
import { guarded } from '../guarded.js'
import type { DialerHandlers, LinkOptions } from './dialer.js'
import { Dialers } from './dialers.js'
import type { Greeting, HelloVerdict } from './handshake.js'

/** The node on whose behalf bulk data travels. */
export interface BulkHost {
  greeting(): Greeting
  judge(greeting: Greeting): HelloVerdict
  /** What is wrong with a message, whatever it brings. */
  objection(message: PeerMessage, link: PeerLink): string | undefined
  /** The way to a member for what is large. */
  replica(id: NodeId): RemoteReplica | undefined
  guard(run: Promise<void>): void
}

/**
 * Links to the other members on which slots are streamed, apart from those for requests, so that pages never stand in
 * front of a heartbeat or of a client's write. They are there only while something streams.
 */
export class BulkLinks {
  readonly #host: BulkHost
  readonly #dialers: Dialers
  #members: readonly Member[] = []
  #open = false

  constructor(options: LinkOptions, host: BulkHost) {
    this.#host = host
    const guard = (run: Promise<void>): void => host.guard(run)
    this.#dialers = new Dialers(options, 'bulk', (address) => this.#handlers(address), guard)
  }

  open(on: boolean): void {
    this.#open = on
    this.#keep()
  }

  /** Who the other members are; links to former incarnations and addresses end. */
  follow(members: readonly Member[]): void {
    for (const { id, incarnation, address } of this.#members) {
      const now = members.find((member) => member.id === id)
      if (now?.incarnation !== incarnation) this.#dialers.hangUp(address)
    }
    this.#members = members
    this.#keep()
  }

  stop(): void {
    this.#dialers.stop()
  }

  #keep(): void {
    this.#dialers.keep(new Set(this.#open ? this.#members.map(({ address }) => address) : []))
  }

  #handlers(address: Address): DialerHandlers {
    const host = this.#host
    let remote: NodeId | undefined
    let life = ''
    return {
      greeting: () => host.greeting(),
      greeted: (greeting) => {
        const verdict = host.judge(greeting)
        const member = this.#members.find((each) => each.address === address)
        if (verdict.kind !== 'welcome' || verdict.remote.id !== member?.id) return 'not the member that streams'
        remote = verdict.remote.id
        life = greeting.hello.life
        return undefined
      },
      message: (message, link) => {
        const objection = host.objection(message, link)
        if (objection !== undefined || remote === undefined) return objection
        const replica = host.replica(remote)
        if (replica?.up === false && message.epoch > 0) replica.attach(link, life)
        return guarded(() => replica?.received(message))
      },
      // The link for requests is refused as well, and says so.
      refused: () => undefined,
      lost: (link) => {
        if (remote !== undefined) host.replica(remote)?.detach(link)
      },
    }
  }
}
