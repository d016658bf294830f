import type { Socket } from 'node:net'
import {
  ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  credentials,
  type experimental,
  Metadata,
} from '@grpc/grpc-js'
import { KvService, type ScanRequest, type ScanResponse } from '@quorumkv/proto/kv/v1/kv'
import { KvError } from './errors.js'
import { limits } from './limits.js'
import { fromStatus } from './status.js'
import type { TlsOptions } from './types.js'

/** A method of a generated service that takes one message and gives one. */
export interface UnaryMethod<Req, Res> {
  readonly path: string
  readonly requestSerialize: (value: Req) => Buffer
  readonly responseDeserialize: (value: Buffer) => Res
}

const channelOptions: ClientOptions = {
  'grpc.max_send_message_length': limits.messageBytesMax,
  'grpc.max_receive_message_length': limits.messageBytesMax,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5000,
  'grpc.keepalive_permit_without_calls': 1,
  // Repetitions are decided by whoever knows what is safe to repeat.
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
  // The members of a cluster are reached directly, whatever the environment says about the web.
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  // HTTP/2's default window of 64 KiB would stop a reply of one large value after each 64 KiB.
  'grpc-node.flow_control_window': limits.messageBytesMax,
}

/** A gRPC channel to one node, with its sockets. */
export class Transport {
  readonly address: string
  private readonly client: Client
  private readonly credentials: OwnedCredentials

  constructor(address: string, tls: TlsOptions | undefined) {
    this.address = address
    this.credentials = new OwnedCredentials(credentialsOf(tls))
    this.client = new Client(address, this.credentials, channelOptions)
  }

  /** Calls back once, when the connection is usable, or never. */
  whenReady(callback: () => void): void {
    this.client.waitForReady(Number.POSITIVE_INFINITY, (error) => {
      if (error === undefined) callback()
    })
  }

  /** The messages go in and out as bytes: a SessionRequest, a SessionResponse. */
  session(): ClientDuplexStream<Buffer, Buffer> {
    return this.client.makeBidiStreamRequest(KvService.session.path, asIs, asIs)
  }

  scan(request: ScanRequest): ClientReadableStream<ScanResponse> {
    const { path, requestSerialize, responseDeserialize } = KvService.scan
    return this.client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request)
  }

  /** Rejects with a KvError: `timeout` when the node has not answered in time. */
  unary<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, timeoutMs: number): Promise<Res> {
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        new Metadata(),
        { deadline: Date.now() + Math.max(1, timeoutMs) },
        (error, response) => {
          if (error !== null) reject(fromStatus(error, this.address))
          else if (response !== undefined) resolve(response)
          else reject(new KvError('internal', `${this.address}: answered without a message`))
        },
      )
    })
  }

  /** Ends everything at once. Streams that are open end with an error. */
  destroy(): void {
    this.client.close()
    this.credentials.destroySockets()
  }
}

function asIs(bytes: Buffer): Buffer {
  return bytes
}

function credentialsOf(tls: TlsOptions | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure()
  const pem = (value: string | Uint8Array | undefined): Buffer | null =>
    value === undefined ? null : typeof value === 'string' ? Buffer.from(value) : Buffer.from(value)
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert))
}

type ConnectorArguments = Parameters<ChannelCredentials['_createSecureConnector']>

/**
 * Credentials that remember the sockets they are used on. A closed channel says goodbye and waits for the other side
 * to do likewise: with a node that hangs each attempt to reconnect would leave a socket behind, and a socket that was
 * still connecting would keep the process alive. gRPC has no other place where its sockets can be taken hold of.
 */
class OwnedCredentials extends ChannelCredentials {
  private readonly inner: ChannelCredentials
  private readonly sockets = new Set<Socket>()
  private destroyed = false

  constructor(inner: ChannelCredentials) {
    super()
    this.inner = inner
  }

  override _isSecure(): boolean {
    return this.inner._isSecure()
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other
  }

  override _createSecureConnector(...args: ConnectorArguments): experimental.SecureConnector {
    const connector = this.inner._createSecureConnector(...args)
    return {
      connect: (socket) => {
        this.own(socket)
        return connector.connect(socket)
      },
      waitForReady: () => connector.waitForReady(),
      getCallCredentials: () => connector.getCallCredentials(),
      destroy: () => connector.destroy(),
    }
  }

  destroySockets(): void {
    this.destroyed = true
    for (const socket of this.sockets) socket.destroy()
  }

  private own(socket: Socket): void {
    if (this.destroyed) {
      socket.destroy()
      return
    }
    this.sockets.add(socket)
    socket.once('close', () => this.sockets.delete(socket))
  }
}
