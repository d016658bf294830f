import { PeerMessage } from '@quorumkv/proto/kv/peer/v1/messages'
import type { Hlc } from '../../hlc/index.js'
import type { ItemWriter } from '../operations/items.js'

/*
 * Nearly all messages consist of the envelope and of items alone. Those are written by hand, always in the same form,
 * and told by it: the encoding that the schema defines, with the length of the items in four bytes whatever it is.
 * Every other form, and every other message, is left to the generated code.
 *
 *   0  1 tag  1 4 hlc_hi    5  1 tag  6 4 hlc_lo    10  1 tag  11 8 epoch    19  1 tag  20 8 wall_ms
 *  28  1 tag  29 4 length   33 the items, up to the end
 */
const tags = { hlcHi: 0x0d, hlcLo: 0x15, epoch: 0x29, wallMs: 0x71, items: 0x32 } as const
export const envelopeBytes = 33

/** A message that says nothing yet. */
export function emptyPeerMessage(): PeerMessage {
  return {
    hlcHi: 0,
    hlcLo: 0,
    epoch: 0,
    wallMs: 0,
    items: emptyItems,
    hello: undefined,
    topology: undefined,
    scans: [],
    pages: [],
    ping: 0,
    pong: 0,
    refusal: undefined,
    forget: undefined,
    forgotten: 0,
    digestRequests: [],
    digestReplies: [],
    entryRequests: [],
    entryPages: [],
    registerRequest: undefined,
    registerReply: undefined,
    linkQuestion: undefined,
    linkAnswer: undefined,
    floorRequests: [],
    floorReplies: [],
    floorRaises: [],
    handoverReport: undefined,
    drained: '',
    standingRequest: undefined,
    standing: undefined,
    addressWish: undefined,
    gossip: undefined,
    topologyWanted: false,
    absenceQuestion: undefined,
    absenceAnswer: undefined,
    copyRequests: [],
    copyReplies: [],
    traces: [],
  }
}

const emptyItems = Buffer.alloc(0)

/** A message of nothing but these items. The bytes are the caller's. */
export function encodeItems(hlc: Hlc, epoch: number, wallMs: number, items: ItemWriter): Uint8Array {
  const { length } = items
  const bytes = Buffer.allocUnsafe(envelopeBytes + length)
  bytes[0] = tags.hlcHi
  bytes.writeUInt32LE(hlc.hi, 1)
  bytes[5] = tags.hlcLo
  bytes.writeUInt32LE(hlc.lo, 6)
  bytes[10] = tags.epoch
  bytes.writeDoubleLE(epoch, 11)
  bytes[19] = tags.wallMs
  bytes.writeDoubleLE(wallMs, 20)
  bytes[28] = tags.items
  bytes[29] = (length & 0x7f) | 0x80
  bytes[30] = ((length >>> 7) & 0x7f) | 0x80
  bytes[31] = ((length >>> 14) & 0x7f) | 0x80
  bytes[32] = length >>> 21
  items.copyTo(bytes, envelopeBytes)
  return bytes
}

/** Reads any message; its items are a view into it. Throws when the bytes are none. */
export function decodeMessage(given: Uint8Array): PeerMessage {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.length)
  if (!isOfItems(bytes)) return PeerMessage.decode(bytes)
  const message = emptyPeerMessage()
  message.hlcHi = bytes.readUInt32LE(1)
  message.hlcLo = bytes.readUInt32LE(6)
  message.epoch = bytes.readDoubleLE(11)
  message.wallMs = bytes.readDoubleLE(20)
  message.items = bytes.subarray(envelopeBytes)
  return message
}

function isOfItems(bytes: Buffer): boolean {
  if (bytes.length < envelopeBytes) return false
  if (bytes[0] !== tags.hlcHi || bytes[5] !== tags.hlcLo || bytes[10] !== tags.epoch) return false
  if (bytes[19] !== tags.wallMs || bytes[28] !== tags.items) return false
  const [b0, b1, b2, b3] = [bytes[29]!, bytes[30]!, bytes[31]!, bytes[32]!]
  if ((b0 & b1 & b2 & 0x80) === 0 || b3 >= 0x80) return false
  return envelopeBytes + ((b0 & 0x7f) | ((b1 & 0x7f) << 7) | ((b2 & 0x7f) << 14) | (b3 << 21)) === bytes.length
}

/** Whether a message asks something about keys or slots: what is answered only under the same epoch. */
export function asksForData(message: PeerMessage): boolean {
  const { scans, digestRequests, entryRequests, floorRequests, floorRaises, copyRequests } = message
  const rare = [scans, digestRequests, entryRequests, floorRequests, floorRaises, copyRequests]
  return message.items.length > 0 || rare.some(({ length }) => length > 0)
}
