import type { IncomingHttpHeaders } from 'node:http2'
import type { Metadata } from '@grpc/grpc-js'
import { KvError } from '@quorumkv/internal/base'
import type { Channel, PeerProof } from '@quorumkv/internal/env'
import { linkKeys } from '../links/exchange.js'
import { bindingKey } from './channel-binding.js'
import { type ClusterSecret, freshNonce, isToken, type LinkTerms } from './cluster-secret.js'

const unproved = 'it has not proved that it knows the cluster secret (--cluster-secret-file)'
const another = 'knows another cluster secret (--cluster-secret-file)'

function otherSecret(who: string, { binding }: LinkTerms): KvError {
  const between = binding === '' ? '' : ', or the TLS connection of one of the two ends between them'
  return new KvError('unauthenticated', `${who} ${another}${between}`)
}

function headerText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Throws `permission-denied` where a certificate and who knows the secret name different nodes. */
function agree(byCertificate: PeerProof | undefined, bySecret: PeerProof): PeerProof {
  if (byCertificate !== undefined && byCertificate.nodeId !== bySecret.nodeId) {
    const { nodeId } = byCertificate
    throw new KvError(
      'permission-denied',
      `its certificate is that of ${nodeId}, and it calls itself ${bySecret.nodeId}`,
    )
  }
  return byCertificate ?? bySecret
}

/** How the node that opens a link proves that it knows the cluster's secret, and finds out whether the other does. */
export class DiallerProof {
  readonly #secret: ClusterSecret
  readonly #channel: Channel
  readonly #self: PeerProof
  readonly #nonce = freshNonce()
  #terms: LinkTerms | undefined

  constructor(secret: ClusterSecret, self: PeerProof, channel: Channel) {
    this.#secret = secret
    this.#self = self
    this.#channel = channel
  }

  /** To be sent with the call. */
  get headers(): Readonly<Record<string, string>> {
    const { nodeId, clusterId } = this.#self
    return { [linkKeys.node]: nodeId, [linkKeys.cluster]: clusterId, [linkKeys.nonce]: this.#nonce }
  }

  /**
   * Reads the other side's first headers; returns whom it has proved to be, also by its certificate if it has shown one.
   * `binding` is that of the connection. Throws `unauthenticated` where the other side does not know the secret,
   * `permission-denied` where its certificate is that of another.
   */
  check(headers: IncomingHttpHeaders, byCertificate: PeerProof | undefined, binding: string): PeerProof {
    const nonce = headers[linkKeys.nonce]
    const proof = headers[linkKeys.proof]
    if (!isToken(nonce) || !isToken(proof)) throw new KvError('unauthenticated', unproved)
    const named = { nodeId: headerText(headers[linkKeys.node]), clusterId: headerText(headers[linkKeys.cluster]) }
    const terms: LinkTerms = {
      channel: this.#channel,
      dialler: { ...this.#self, nonce: this.#nonce },
      acceptor: { ...named, nonce },
      binding,
    }
    if (!this.#secret.proves(proof, 'acceptor', terms)) throw otherSecret('it', terms)
    this.#terms = terms
    return agree(byCertificate, named)
  }

  /** The first message on the stream, after `check`. */
  answer(): Buffer {
    return Buffer.from(this.#terms === undefined ? '' : this.#secret.proof('dialler', this.#terms))
  }
}

/** The same of the node that a link is opened to. */
export class AcceptorProof {
  readonly #secret: ClusterSecret
  readonly #terms: LinkTerms

  /** Throws `unauthenticated` where the caller does not even try. */
  constructor(secret: ClusterSecret, self: PeerProof, channel: Channel, metadata: Metadata) {
    const text = (key: string): string => headerText(metadata.get(key)[0])
    const nonce = text(linkKeys.nonce)
    if (!isToken(nonce))
      throw new KvError('unauthenticated', 'this node wants a proof of the cluster secret (--cluster-secret-file)')
    this.#secret = secret
    this.#terms = {
      channel,
      dialler: { nodeId: text(linkKeys.node), clusterId: text(linkKeys.cluster), nonce },
      acceptor: { ...self, nonce: freshNonce() },
      binding: text(bindingKey),
    }
  }

  /** To be sent before anything else. */
  addTo(metadata: Metadata): void {
    const { nodeId, clusterId, nonce } = this.#terms.acceptor
    metadata.set(linkKeys.node, nodeId)
    metadata.set(linkKeys.cluster, clusterId)
    metadata.set(linkKeys.nonce, nonce)
    metadata.set(linkKeys.proof, this.#secret.proof('acceptor', this.#terms))
  }

  /**
   * Reads the caller's first message; returns whom it has proved to be, also by its certificate if it has shown one. Throws
   * `unauthenticated` where it does not know the secret, `permission-denied` where its certificate is that of another.
   */
  check(answer: Buffer, byCertificate: PeerProof | undefined): PeerProof {
    if (!this.#secret.proves(answer.toString('latin1'), 'dialler', this.#terms)) {
      throw otherSecret('this node', this.#terms)
    }
    const { nodeId, clusterId } = this.#terms.dialler
    return agree(byCertificate, { nodeId, clusterId })
  }
}
