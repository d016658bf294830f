import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { invalidArgument } from '@quorumkv/internal/base'

const bytesMin = 32
const bytesMax = 4_096
/** Bits of others than owner and group. A group is how orchestrators hand a secret to the user of a container. */
const othersMask = 0o007
const hidden = '[secret]'
/** What a new secret is made of, so that no search finds it. */
const randomBytesMade = 48
/** 32 random hex digits have fewer different ones once in ten million times; words that are repeated mostly have. */
const differentMin = 8

/**
 * Why what a file holds was evidently not drawn at random; undefined: nothing says so. Nobody has to know a secret to get a proof
 * made with it from a node, and may then try words on it for as long as they like.
 */
function weakness(key: Buffer): string | undefined {
  if (new Set(key).size < differentMin) return `fewer than ${differentMin} different bytes`
  for (let period = 1; period <= key.length / 2; period++) {
    if (key.subarray(period).equals(key.subarray(0, key.length - period))) return 'the same again and again'
  }
  const text = key.toString('latin1')
  if (!/^[\x20-\x7e]+$/.test(text)) return undefined
  if (text.includes(' ')) return 'words'
  const kinds = [/[a-z]/, /[A-Z]/, /[0-9]/].filter((kind) => kind.test(text)).length
  return kinds < 2 ? 'letters of one case, or digits, alone' : undefined
}

/** One end of a link, as it says of itself. */
export interface LinkEnd {
  readonly nodeId: string
  /** Empty: it belongs to none yet. */
  readonly clusterId: string
  /** Random, new for each link, in base64url. */
  readonly nonce: string
}

/** What both ends of a link prove that they mean. */
export interface LinkTerms {
  readonly channel: string
  readonly dialler: LinkEnd
  readonly acceptor: LinkEnd
  /** Of the encrypted connection between them, as each of them sees it: see `channelBinding`. Empty: it is not encrypted. */
  readonly binding: string
}

export type LinkRole = 'dialler' | 'acceptor'

/** A fresh nonce of 256 bits. */
export function freshNonce(): string {
  return randomBytes(32).toString('base64url')
}

/** Whether a text can be a nonce or a proof. */
export function isToken(text: unknown): text is string {
  return typeof text === 'string' && /^[A-Za-z0-9_-]{43}$/.test(text)
}

/**
 * What all nodes of a cluster know and nobody else does. It is never sent: each end of a link proves that it has it, by
 * HMAC-SHA-256 (RFC 2104) over what both have said, in which a nonce of each and the role keep proofs from being used again
 * or sent back, and the binding to the connection keeps them from being handed on by who ends TLS between the two.
 */
export class ClusterSecret {
  readonly #key: Buffer

  /** `key`: at least 32 bytes. */
  constructor(key: Buffer) {
    this.#key = key
  }

  /** Reads a file; white space at its end does not count. Rejects with `invalid-argument`. */
  static async read(path: string): Promise<ClusterSecret> {
    const label = 'cluster-secret-file'
    let text: Buffer
    let mode: number
    try {
      text = await readFile(path)
      mode = (await stat(path)).mode
    } catch (error) {
      throw invalidArgument(label, `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`)
    }
    if ((mode & othersMask) !== 0) {
      throw invalidArgument(label, `everybody on this machine may open ${path}: take that away, by chmod 600`)
    }
    const key = Buffer.from(text.toString('latin1').trimEnd(), 'latin1')
    if (key.length < bytesMin || key.length > bytesMax) {
      throw invalidArgument(label, `${path} must hold ${bytesMin} to ${bytesMax} bytes, and has ${key.length}`)
    }
    const weak = weakness(key)
    if (weak !== undefined) {
      throw invalidArgument(
        label,
        `${path} holds ${weak}: it must be random, as "kv-server certs secret FILE" makes it`,
      )
    }
    return new ClusterSecret(key)
  }

  /** Makes a file with a new one. Throws what the system says, EEXIST where there is a file. */
  static write(path: string): void {
    writeFileSync(path, `${randomBytes(randomBytesMade).toString('base64')}\n`, { flag: 'wx', mode: 0o600 })
  }

  /** What proves that the end in `role` knows the secret, and means these terms. */
  proof(role: LinkRole, { channel, dialler, acceptor, binding }: LinkTerms): string {
    const ends = [dialler, acceptor].flatMap(({ nodeId, clusterId, nonce }) => [nodeId, clusterId, nonce])
    // As JSON no two lists have the same text.
    const text = JSON.stringify(['quorumkv link 2', role, channel, binding, ...ends])
    return createHmac('sha256', this.#key).update(text).digest('base64url')
  }

  /** Compares in constant time. */
  proves(proof: unknown, role: LinkRole, terms: LinkTerms): boolean {
    return isToken(proof) && timingSafeEqual(Buffer.from(proof), Buffer.from(this.proof(role, terms)))
  }

  /** What proves that a node which calls another at a time knows the secret. */
  callProof(nodeId: string, to: string, atMs: number): string {
    const text = JSON.stringify(['quorumkv call 2', nodeId, to, atMs])
    return createHmac('sha256', this.#key).update(text).digest('base64url')
  }

  /** Compares in constant time. */
  provesCall(proof: unknown, nodeId: string, to: string, atMs: number): boolean {
    return isToken(proof) && timingSafeEqual(Buffer.from(proof), Buffer.from(this.callProof(nodeId, to, atMs)))
  }

  /** With `toJSON`, for who writes it down by mistake; the field is one that `inspect` does not see. */
  toString(): string {
    return hidden
  }

  toJSON(): string {
    return hidden
  }
}
