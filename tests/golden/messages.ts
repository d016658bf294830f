import { decodeMessage, ItemReader } from '@quorumkv/internal/replication'
import { softwareLevels } from '@quorumkv/internal/slots'
import * as peer from '@quorumkv/proto/kv/peer/v1/messages'
import * as cluster from '@quorumkv/proto/kv/v1/cluster'
import * as kv from '@quorumkv/proto/kv/v1/kv'
import { ItemWriter } from '../../internal/replication/operations/items.js'
import { emptyPeerMessage, encodeItems } from '../../internal/replication/replicas/message-codec.js'
import type { GoldenFormat, GoldenSample } from './golden.js'
import { examplesOf, fieldsOf, type Message, messagesOf } from './schema.js'

interface Codec {
  encode(message: Message): { finish(): Uint8Array }
  decode(bytes: Uint8Array): Message
}

/** What ts-proto has generated for a message, by its name in the schema. */
function codecOf(name: string): Codec {
  const generated: Record<string, unknown> = { ...peer, ...kv, ...cluster }
  const found = generated[name.slice(name.lastIndexOf('.') + 1)]
  if (found === undefined) throw new Error(`${name} has no generated code`)
  return found as Codec
}

function generated(name: string, message: Message): GoldenSample {
  const codec = codecOf(name)
  const encode = (meaning: Message): Uint8Array => codec.encode(meaning).finish()
  return { write: () => encode(message), read: (bytes) => codec.decode(Buffer.from(bytes)), again: encode }
}

const stamped = { hi: 0x0001_8bcf, lo: 0xe568_0007, node: 3 }
const record = { ...stamped, key: Buffer.from('k'), tombstone: false, expiresAtMs: 0, value: Buffer.from('v') }
const expiring = { ...record, expiresAtMs: 1_800_000_000_000 }
const deleted = { ...record, tombstone: true, value: Buffer.alloc(0) }

/** One of each: what messages between nodes mostly consist of, written and read by hand. */
function writeItems(): Uint8Array {
  const items = new ItemWriter()
  items.addWrite(1, 0, record)
  items.addWrite(2, 3, expiring)
  items.addWrite(3, 2, deleted)
  items.addRead(4, peer.ReadMode.FULL, Buffer.from('a key'))
  items.addRead(5, peer.ReadMode.VERSION, Buffer.from('k'))
  items.addWriteReply(6, peer.WriteVerdict.APPLIED, undefined, false, undefined)
  items.addWriteReply(7, peer.WriteVerdict.APPLIED, stamped, true, record)
  items.addWriteReply(8, peer.WriteVerdict.STALE, stamped, true, undefined)
  items.addWriteReply(9, peer.WriteVerdict.UNAVAILABLE, undefined, false, undefined)
  items.addReadReply(10, peer.ReadStatus.ABSENT, stamped, undefined)
  items.addReadReply(11, peer.ReadStatus.VERSION, stamped, undefined)
  items.addReadReply(12, peer.ReadStatus.RECORD, stamped, expiring)
  items.addReadReply(2 ** 32 - 1, peer.ReadStatus.REFILLING, stamped, undefined)
  return encodeItems({ hi: 0x0001_8bcf, lo: 0xe568_0000 }, 17, 1_700_000_000_123, items)
}

function readItems(bytes: Uint8Array): unknown {
  const { hlcHi, hlcLo, epoch, wallMs, items } = decodeMessage(bytes)
  const reader = new ItemReader(items)
  const found: unknown[] = []
  while (reader.next()) {
    const { kind, id, code, existed, key, version, record: whole } = reader
    found.push({ kind, id, code, existed, key, version, record: whole })
  }
  return { hlcHi, hlcLo, epoch, wallMs, items: found }
}

const byHand = new Set(['hlcHi', 'hlcLo', 'epoch', 'wallMs', 'items'])

/** Each thing that a message between nodes may carry, alone in one. */
function peerSamples(): Record<string, GoldenSample> {
  const name = 'kv.peer.v1.PeerMessage'
  const samples: Record<string, GoldenSample> = { items: { write: writeItems, read: readItems } }
  const example = examplesOf(name)[0]!
  for (const field of fieldsOf(name)) {
    if (!byHand.has(field)) samples[kebab(field)] = generated(name, { ...emptyPeerMessage(), [field]: example[field] })
  }
  return samples
}

function kebab(name: string): string {
  return name.replace(/(?<=[a-z])[A-Z]/g, (letter) => `-${letter}`).toLowerCase()
}

/** Messages between nodes: proto/kv/peer/v1/messages.proto. Their version is the feature level (docs/adr/0032). */
export const peerMessages: GoldenFormat = {
  name: 'peer-messages',
  version: softwareLevels.max,
  oldest: softwareLevels.min,
  grows: true,
  samples: peerSamples(),
}

/** Requests and responses of the public services: proto/kv/v1. */
function publicSamples(): Record<string, GoldenSample> {
  const samples: Record<string, GoldenSample> = {}
  for (const service of ['kv.v1.Kv', 'kv.v1.Cluster']) {
    for (const message of messagesOf(service)) {
      const name = `kv.v1.${message}`
      const all = examplesOf(name)
      for (const [i, example] of all.entries()) {
        samples[all.length === 1 ? kebab(message) : `${kebab(message)}-${i}`] = generated(name, example)
      }
    }
  }
  return samples
}

export const publicMessages: GoldenFormat = {
  name: 'public-messages',
  version: 1,
  oldest: 1,
  grows: true,
  samples: publicSamples(),
}
