import type { Channel, Link, LinkHandlers, Network } from '@quorumkv/internal/env'
import { decodeRecords, type StoredRecord } from '@quorumkv/internal/record'
import { ItemReader, itemKind } from '@quorumkv/internal/replication'
import { PeerMessage, ReadStatus, WriteVerdict } from '@quorumkv/proto/kv/peer/v1/messages'

/** One thing that one node says to another; a message of the wire carries any number of them. */
export interface Said {
  /** The field of the message in words: `write`, `write-reply`, `read`, `hello` … */
  readonly kind: string
  readonly key: string | undefined
  /** What there is to know of it besides its key. */
  readonly detail: string
}

/** Who is told of all that nodes send to each other, and may stop it. */
export interface Witness {
  /** Something is about to be sent. `lose`: it is not. */
  sending(from: string, to: string, said: readonly Said[]): 'send' | 'lose'
  received(from: string, to: string, said: readonly Said[]): void
}

/** The keys of the requests under way on a link, by kind and id, so that replies can be told by their key. */
type Keys = Map<string, string>

/** A network whose messages are read on their way. `host` is the node that it is given to. */
export function watchedNetwork(network: Network, host: string, witness: Witness): Network {
  return {
    async connect(address: string, channel: Channel, timeoutMs: number): Promise<Link> {
      return watchedLink(await network.connect(address, channel, timeoutMs), host, witness)
    },
    listen(address, accept) {
      return network.listen(address, (link, channel) => accept(watchedLink(link, host, witness), channel))
    },
  }
}

function watchedLink(link: Link, host: string, witness: Witness): Link {
  const other = link.remote.slice(0, link.remote.lastIndexOf(':'))
  const keys: Keys = new Map()
  return {
    remote: link.remote,
    proved: link.proved,
    start(handlers: LinkHandlers) {
      link.start({
        message(bytes) {
          witness.received(other, host, contentsOf(PeerMessage.decode(bytes), keys))
          handlers.message(bytes)
        },
        drain: () => handlers.drain(),
        close: (reason) => handlers.close(reason),
      })
    },
    send(bytes) {
      const verdict = witness.sending(host, other, contentsOf(PeerMessage.decode(bytes), keys))
      return verdict === 'lose' ? true : link.send(bytes)
    },
    close: (reason) => link.close(reason),
  }
}

const envelope = new Set(['hlcHi', 'hlcLo', 'epoch', 'wallMs'])

/** What a message says. Fields that have no form of their own here are told by their name and the keys of their records. */
function contentsOf(message: PeerMessage, keys: Keys): Said[] {
  const { items, ...others } = message
  const said: Said[] = []
  for (const item = new ItemReader(items); item.next(); ) said.push(contentsOfItem(item, keys))
  for (const [field, value] of Object.entries(others)) {
    if (!envelope.has(field) && !isEmpty(value)) said.push(...contentsOfField(kebab(field), value))
  }
  return said
}

function contentsOfItem({ kind, id, code, key: asked, record }: ItemReader, keys: Keys): Said {
  switch (kind) {
    case itemKind.write: {
      const key = textOf(record!.key)
      keys.set(`write ${id}`, key)
      return { kind: 'write', key, detail: shownRecord(record!) }
    }
    case itemKind.read: {
      const key = textOf(asked)
      keys.set(`read ${id}`, key)
      return { kind: 'read', key, detail: '' }
    }
    case itemKind.writeReply:
      return { kind: 'write-reply', key: taken(keys, `write ${id}`), detail: nameIn(WriteVerdict, code) }
    default:
      return { kind: 'read-reply', key: taken(keys, `read ${id}`), detail: nameIn(ReadStatus, code) }
  }
}

function contentsOfField(kind: string, value: unknown): Said[] {
  const said: Said[] = []
  for (const part of Array.isArray(value) ? value : [value]) {
    const records = typeof part === 'object' && part !== null && 'records' in part ? part.records : undefined
    if (!(records instanceof Uint8Array) || records.length === 0) said.push({ kind, key: undefined, detail: '' })
    else {
      for (const record of decodeRecords(records)) {
        said.push({ kind, key: textOf(record.key), detail: shownRecord(record) })
      }
    }
  }
  return said
}

/** A reply comes once; what is left of requests without one goes with their link. */
function taken(keys: Keys, name: string): string | undefined {
  const key = keys.get(name)
  keys.delete(name)
  return key
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === 0 || value === 0n || value === false || value === '' || lengthOf(value) === 0
}

function lengthOf(value: unknown): number | undefined {
  return Array.isArray(value) || value instanceof Uint8Array ? value.length : undefined
}

/** The name of a constant: `WRONG_EPOCH` as `wrong epoch`. */
function nameIn(constants: Readonly<Record<string, number>>, value: number): string {
  const found = Object.entries(constants).find(([, constant]) => constant === value)
  return found?.[0].replaceAll('_', ' ').toLowerCase() ?? String(value)
}

/** `rangeDigests` → `range-digest`. */
function kebab(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).replace(/s$/, '')
}

const shownCharsMax = 24

function shownRecord(record: StoredRecord): string {
  return `${record.tombstone ? 'deleted' : `= ${shortened(textOf(record.value))}`} (${shownVersion(record)})`
}

/** A long text by its beginning. */
export function shortened(text: string): string {
  return text.length <= shownCharsMax ? text : `${text.slice(0, shownCharsMax)}… (${text.length})`
}

/** A version as people can compare it: the clock's two halves and the node's number. */
export function shownVersion({ hi, lo, node }: { hi: number; lo: number; node: number }): string {
  return `${hi.toString(16)}.${lo.toString(16).padStart(8, '0')}/${node}`
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
