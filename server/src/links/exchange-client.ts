import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2'
import { connect as connectSocket, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { KvError, limits } from '@quorumkv/internal/base'
import type { Channel, PeerProof } from '@quorumkv/internal/env'
import { decodeMessage, FrameError, frameHeader, MessageDeframer } from '@quorumkv/proto/framing'
import { closedAfterHandshake, closedWithoutAWord, explainTlsError } from '@quorumkv/proto/tls-errors'
import { splitAddress } from '../config/addresses.js'
import { channelBinding } from '../tls/channel-binding.js'
import { DiallerProof } from '../tls/link-proof.js'
import { blindTrust, dialEncrypted, type LinkTrust } from '../tls/link-trust.js'
import { channelKey, type Exchange, type ExchangeHandlers, exchangePath } from './exchange.js'

type Headers = IncomingHttpHeaders & IncomingHttpStatusHeader

/** Whether a reply says that it is this node, or what it has shown, that is not wanted: PERMISSION_DENIED, UNAUTHENTICATED. */
function isDistrust(headers: Headers): boolean {
  return headers['grpc-status'] === '7' || headers['grpc-status'] === '16'
}

/** The status that a gRPC reply carries, as a sentence; undefined if it carries none. */
function statusIn(headers: Headers): string | undefined {
  if (headers[':status'] !== undefined && headers[':status'] !== 200) return `HTTP status ${headers[':status']}`
  const code = headers['grpc-status']
  if (code === undefined) return undefined
  const message = headers['grpc-message']
  return `gRPC status ${code}${typeof message === 'string' ? `: ${decodeMessage(message)}` : ''}`
}

/**
 * The caller's end of kv.peer.v1.Peer/Exchange, on an HTTP/2 connection of its own.
 *
 * It speaks gRPC without the client of grpc-js. That client cannot give up: an attempt to connect to something that
 * accepts and never speaks keeps its socket for ever, also after the channel is closed, and a node tries again every
 * second. It also buffers without bound what arrives before anyone reads. (And it costs: 25 µs of CPU for both ends of
 * an echo of 1,000 bytes, where this costs 20.)
 */
export class ExchangeClient implements Exchange {
  readonly remote: string
  readonly #socket: Socket
  readonly #session: ClientHttp2Session
  readonly #stream: ClientHttp2Stream
  readonly #deframer: MessageDeframer
  #handlers: ExchangeHandlers | undefined
  #keepalive: NodeJS.Timeout | undefined
  #pingUnanswered = false
  #closeReason: string | undefined
  #proved: PeerProof | undefined
  /** The two sides do not trust each other, which trying again does not mend. */
  #distrusted = false
  /** The other side has said something in HTTP/2. */
  #heard = false

  /**
   * Resolves when the other side has accepted the stream, and each has proved to the other what `trust` demands. Rejects, and
   * leaves nothing behind, with `unauthenticated` when one of them does not trust the other, and with `unavailable` when that is
   * not known within `timeoutMs`.
   */
  static open(
    address: string,
    channel: Channel,
    timeoutMs: number,
    trust: LinkTrust = blindTrust,
  ): Promise<ExchangeClient> {
    return new Promise((resolve, reject) => {
      const proof = trust.secret === undefined ? undefined : new DiallerProof(trust.secret, trust.self(), channel)
      const client = new ExchangeClient(address, channel, trust, proof?.headers ?? {})
      const timer = setTimeout(() => client.close(`no answer in ${timeoutMs} ms`), timeoutMs)
      client.#handlers = {
        message: () => undefined,
        close: (reason) => {
          clearTimeout(timer)
          const code = client.#distrusted ? 'unauthenticated' : 'unavailable'
          reject(new KvError(code, `connect ${address}: ${reason}`))
        },
      }
      client.#stream.once('response', (headers) => {
        if (client.#closeReason !== undefined) return
        const status = statusIn(headers)
        if (status !== undefined) {
          client.#distrusted = isDistrust(headers)
          client.close(status)
          return
        }
        if (proof !== undefined && !client.#exchangeProofs(proof, headers)) return
        clearTimeout(timer)
        client.#handlers = undefined
        client.#startKeepalive()
        resolve(client)
      })
    })
  }

  private constructor(
    address: string,
    channel: Channel,
    { certificates }: LinkTrust,
    headers: Readonly<Record<string, string>>,
  ) {
    this.remote = address
    const { host, port } = splitAddress(address)
    const proved = (proof: PeerProof | undefined): void => {
      this.#proved = proof
    }
    this.#socket =
      certificates === undefined ? connectSocket({ host, port }) : dialEncrypted(host, port, certificates, proved)
    this.#session = connect(`http://${address}`, {
      createConnection: () => this.#socket,
      settings: { enablePush: false, initialWindowSize: limits.messageBytesMax },
    })
    // The window of the connection is apart from that of its streams, and 64 KiB unless raised.
    this.#session.once('connect', (session) => {
      // Node tells of the connection of a session that has been destroyed, too.
      if (!session.destroyed) session.setLocalWindowSize(2 * limits.messageBytesMax)
    })
    this.#session.once('remoteSettings', () => {
      this.#heard = true
    })
    this.#session.on('error', (error) => this.#fail(error, error.message))
    this.#session.on('close', () => this.#fail(undefined, 'the connection was lost'))
    this.#stream = this.#session.request(
      {
        ':method': 'POST',
        ':path': exchangePath,
        'content-type': 'application/grpc+proto',
        te: 'trailers',
        [channelKey]: channel,
        ...headers,
      },
      { endStream: false },
    )
    this.#deframer = new MessageDeframer(limits.messageBytesMax, (message) => {
      // Who takes a message may close the stream, and more may lie behind it in the same bytes.
      if (this.#closeReason === undefined) this.#handlers?.message(message)
    })
    this.#stream.on('error', (error) => this.#fail(error, error.message))
    this.#stream.on('trailers', (headers) => this.close(statusIn(headers) ?? 'the other side ended the stream'))
    this.#stream.on('end', () => this.close('the other side ended the stream'))
    this.#stream.on('close', () => this.#fail(undefined, 'the other side ended the stream'))
  }

  get proved(): PeerProof | undefined {
    return this.#proved
  }

  start(handlers: ExchangeHandlers): void {
    this.#handlers = handlers
    if (this.#closeReason !== undefined) {
      handlers.close(this.#closeReason)
      return
    }
    this.#stream.on('data', (bytes: Buffer) => this.#receive(bytes))
  }

  send(message: Uint8Array, taken: () => void): void {
    if (this.#closeReason !== undefined) return
    const stream = this.#stream
    // Both in one write to the socket, without copying the message behind its header.
    stream.cork()
    stream.write(frameHeader(message.length))
    stream.write(message, (error) => {
      if (this.#closeReason === undefined && !error) taken()
    })
    stream.uncork()
  }

  close(reason: string): void {
    if (this.#closeReason !== undefined) return
    this.#closeReason = reason
    clearInterval(this.#keepalive)
    // Events of HTTP/2 come from the middle of nghttp2's work on what was received. There it must not be told to send:
    // Node 20 was seen to loop for ever.
    setImmediate(() => {
      this.#session.destroy()
      // The session leaves alone a socket that is not connected yet. Where packets vanish it would go on trying for minutes.
      if (this.#socket.connecting) this.#socket.destroy()
    })
    this.#handlers?.close(reason)
  }

  /** Returns whether the other side has proved itself; then it gets this side's proof. */
  #exchangeProofs(proof: DiallerProof, headers: Headers): boolean {
    try {
      this.#proved = proof.check(headers, this.#proved, channelBinding(this.#socket))
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      this.#fail(error, error.message)
      return false
    }
    this.send(proof.answer(), () => undefined)
    return true
  }

  /** The connection has ended, of which HTTP/2 knows only `reason`. */
  #fail(error: Error | undefined, reason: string): void {
    if (this.#closeReason !== undefined) return
    // A stream is told first, with what its connection has ended by behind it.
    const root = error?.cause instanceof Error ? error.cause : error
    const explained = root instanceof KvError ? root.message : explainTlsError(root)
    const secured = this.#socket instanceof TLSSocket && this.#socket.authorized
    this.#distrusted = explained !== undefined || (secured && !this.#heard)
    if (explained !== undefined) this.close(explained)
    else if (this.#heard || this.#socket.bytesWritten === 0) this.close(root?.message ?? reason)
    else this.close(`it ${secured ? closedAfterHandshake : closedWithoutAWord}`)
  }

  #receive(bytes: Buffer): void {
    try {
      this.#deframer.push(bytes)
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.close(error.message)
    }
  }

  #startKeepalive(): void {
    this.#keepalive = setInterval(() => {
      if (this.#pingUnanswered) {
        this.close('the other side does not answer pings')
        return
      }
      this.#pingUnanswered = true
      this.#session.ping((error) => {
        if (error === null) this.#pingUnanswered = false
      })
    }, limits.keepaliveTimeMs).unref()
  }
}
