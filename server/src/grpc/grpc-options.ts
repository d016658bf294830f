import type { ChannelOptions } from '@grpc/grpc-js'
import { limits } from '@quorumkv/internal/base'

/** Room for the envelope of a message whose contents are at the limit. */
const slackBytes = 65_536

/** Times that tests make short. */
export type ConnectionTimes = Readonly<
  Record<Extract<keyof typeof limits, 'keepaliveTimeMs' | 'keepaliveTimeoutMs' | 'connectionIdleMs'>, number>
>

/** Of the server for clients and other nodes. */
export function serverOptions(times: ConnectionTimes = limits): ChannelOptions {
  return {
    'grpc.max_send_message_length': limits.messageBytesMax + slackBytes,
    'grpc.max_receive_message_length': limits.messageBytesMax + slackBytes,
    'grpc.keepalive_time_ms': times.keepaliveTimeMs,
    'grpc.keepalive_timeout_ms': times.keepaliveTimeoutMs,
    // Nobody reads it here, and it costs bookkeeping for each message.
    'grpc.enable_channelz': 0,
    'grpc.max_connection_idle_ms': times.connectionIdleMs,
    'grpc.max_concurrent_streams': limits.connectionStreamsMax,
  }
}
