import { invalidArgument, limits, parseAddress } from '../base/index.js'

/**
 * What is known of a member. At equal refutation each outranks those before it.
 * - `alive`: nothing speaks against it.
 * - `suspect`: a probe of it has failed; it can refute that for as long as the suspicion runs.
 * - `dead`: it has not refuted in time. It stays a member, and is alive again as soon as it refutes.
 * - `left`: it has said that it stops.
 */
export type MemberStatus = 'alive' | 'suspect' | 'dead' | 'left'

/**
 * - `ping`: are you there? Answered by `ack`.
 * - `pingRequest`: ask `target` for me. Answered by `ack`, or by `nack` if the target has not answered in time.
 * - `gossip`: rumours only.
 * - `sync`: what I know, in short (`digest`). Answered by `syncReply`: what I know better (`rumours`), and what you
 *   know better (`wanted`), which is then sent as `gossip`.
 */
export type MessageKind = 'ping' | 'pingRequest' | 'ack' | 'nack' | 'gossip' | 'sync' | 'syncReply'

/**
 * Something about a member, as it travels. Members are named by the number that the topology gave to this life of
 * their data directory: it is short, and a wiped node is another member than the one that it replaces.
 */
export interface Rumour {
  readonly number: number
  readonly status: MemberStatus
  /** How often the member had spoken for itself when this was so: see `Swim`. */
  readonly refutation: number
  /** Of `alive`: where it is reached; empty otherwise. */
  readonly address: string
  /** Of `alive`: what it wants all to know, at most `limits.swimMetaBytesMax`; empty otherwise. */
  readonly meta: Uint8Array
  /** Of `suspect`, and `dead`: the members whose own probes have failed; empty otherwise. */
  readonly accusers: readonly number[]
}

/** What the sender of a `sync` knows of one member, without what it takes to tell another. */
export interface DigestEntry {
  readonly number: number
  readonly status: MemberStatus
  readonly refutation: number
  /** The refutation that its address and meta are from. */
  readonly described: number
}

/** One message. Flat, with every field in every kind, so that its encoding mirrors it. */
export interface SwimMessage {
  readonly kind: MessageKind
  /** Of the question, and repeated in its answer; 0 in `gossip`. */
  readonly seq: number
  /** The sender: its number, its refutation, and where it is reached. */
  readonly number: number
  readonly refutation: number
  readonly address: string
  /** The member that is asked (`ping`) or asked about (`pingRequest`); 0 otherwise. */
  readonly target: number
  readonly rumours: readonly Rumour[]
  readonly digest: readonly DigestEntry[]
  readonly wanted: readonly number[]
}

export const statuses: readonly MemberStatus[] = ['alive', 'suspect', 'dead', 'left']
const kinds: readonly MessageKind[] = ['ping', 'pingRequest', 'ack', 'nack', 'gossip', 'sync', 'syncReply']
const numberMax = 0xffff_ffff

/** Bytes of a whole number in base 128. */
function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++
  return bytes
}

/** Bytes of a field that holds so many, with its tag and length. */
function fieldBytes(bytes: number): number {
  return 1 + varintBytes(bytes) + bytes
}

function packedBytes(values: readonly number[]): number {
  return values.length === 0 ? 0 : fieldBytes(values.reduce((sum, value) => sum + varintBytes(value), 0))
}

/** Bytes of a rumour in a message that is encoded as Protocol Buffers with tags of one byte. */
export function rumourBytes({ number, refutation, address, meta, accusers }: Rumour): number {
  const numbers = 1 + varintBytes(number) + 2 + 1 + varintBytes(refutation)
  return fieldBytes(numbers + fieldBytes(address.length) + fieldBytes(meta.length) + packedBytes(accusers))
}

function digestEntryBytes({ number, refutation, described }: DigestEntry): number {
  return fieldBytes(5 + varintBytes(number) + varintBytes(refutation) + varintBytes(described))
}

/** The same of a whole message: what the bounds on messages are about. An encoding may leave out what is empty. */
export function messageBytes(message: SwimMessage): number {
  const { seq, number, refutation, address, target, rumours, digest, wanted } = message
  let bytes = 2 + 4 + varintBytes(seq) + varintBytes(number) + varintBytes(refutation) + varintBytes(target)
  bytes += fieldBytes(address.length) + packedBytes(wanted)
  for (const rumour of rumours) bytes += rumourBytes(rumour)
  for (const entry of digest) bytes += digestEntryBytes(entry)
  return bytes
}

function checkWhole(value: number, most: number, field: string): void {
  if (!Number.isInteger(value) || value < 0 || value > most) {
    throw invalidArgument(field, `must be a whole number from 0 to ${most}, got ${value}`)
  }
}

function checkOneOf(value: string, allowed: readonly string[], field: string): void {
  if (!allowed.includes(value)) throw invalidArgument(field, `must be one of ${allowed.join(', ')}, got ${value}`)
}

function checkCount(count: number, most: number, field: string): void {
  if (count > most) throw invalidArgument(field, `has ${count} entries, more than ${most}`)
}

function checkRumour({ number, status, refutation, address, meta, accusers }: Rumour): void {
  checkWhole(number, numberMax, 'rumours.number')
  checkOneOf(status, statuses, 'rumours.status')
  checkWhole(refutation, limits.swimRefutationMax, 'rumours.refutation')
  if (status === 'alive') parseAddress(address, 'rumours.address')
  checkCount(meta.length, limits.swimMetaBytesMax, 'rumours.meta')
  checkCount(accusers.length, limits.swimAccusersMax, 'rumours.accusers')
  for (const accuser of accusers) checkWhole(accuser, numberMax, 'rumours.accusers')
}

/** Throws `invalid-argument` where a message is not one that a node of this kind sends, too large ones included. */
export function checkMessage(message: SwimMessage): void {
  checkOneOf(message.kind, kinds, 'kind')
  checkWhole(message.seq, numberMax, 'seq')
  checkWhole(message.number, numberMax, 'number')
  checkWhole(message.refutation, limits.swimRefutationMax, 'refutation')
  checkWhole(message.target, numberMax, 'target')
  parseAddress(message.address, 'address')
  checkCount(message.digest.length, limits.membersMax, 'digest')
  checkCount(message.wanted.length, limits.membersMax, 'wanted')
  for (const rumour of message.rumours) checkRumour(rumour)
  for (const number of message.wanted) checkWhole(number, numberMax, 'wanted')
  for (const { number, status, refutation, described } of message.digest) {
    checkWhole(number, numberMax, 'digest.number')
    checkOneOf(status, statuses, 'digest.status')
    checkWhole(refutation, limits.swimRefutationMax, 'digest.refutation')
    checkWhole(described, limits.swimRefutationMax, 'digest.described')
  }
  const bytes = messageBytes(message)
  if (bytes > limits.swimMessageBytesMax) {
    throw invalidArgument('message', `has ${bytes} bytes, more than ${limits.swimMessageBytesMax}`)
  }
}
