import type { Attack } from './attack.js'
import { Calls, callAll } from './calls.js'
import { grpcMessage, sessionGets } from './wire.js'

const path = '/kv.v1.Kv/Session'
const one = grpcMessage(sessionGets('nobody has this key', 1))
/** Of one call that stays open: its state in Node, nghttp2, the library and the node. */
const sessionBytes = 65_536
/** `sessionsMax` and `connectionStreamsMax`. */
const [sessionsMax, streamsMax] = [4_096, 1_024]

export const sessionFloods: readonly Attack[] = [
  {
    name: 'tiny-sessions',
    size: { short: 500, long: 10_000 },
    mayHoldBytes: () => 0,
    run: (field) => callAll(field, { connections: 4, inFlight: 32 }, (calls) => calls.whole(path, one)),
  },
  {
    // Opened and never ended. Beyond `sessionsMax` they are refused, and honest callers who come then are, too.
    name: 'sessions-left-open',
    size: { short: 500, long: 10_000 },
    holdMs: { short: 100, long: 10_000 },
    mayHoldBytes: (size) => Math.min(size, 2 * sessionsMax) * sessionBytes,
    run: async (field) => {
      const { size } = field.order
      while (field.sent < size && !field.over) {
        const calls = new Calls(field)
        for (let i = 0; i < streamsMax && field.sent < size; i++, field.sent++) {
          const stream = calls.begin(path)
          stream.write(one)
          stream.resume()
        }
        await field.until(new Promise((resolve) => calls.session.ping(() => resolve(undefined))))
      }
      await field.hold()
    },
  },
]
