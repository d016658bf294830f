import { Agent, request } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import type { Attack } from './attack.js'
import { Calls, callAll } from './calls.js'
import { getRequest, grpcMessage } from './wire.js'

const get = grpcMessage(getRequest('nobody has this key'))
/** Of an open stream between nodes. */
const linkBytes = 65_536
const [linksEach, connectionsMost] = [500, 8]

/** Callers whom nobody knows. */
export const strangerFloods: readonly Attack[] = [
  {
    name: 'wrong-tokens',
    setup: 'guarded',
    size: { short: 2_000, long: 100_000 },
    mayHoldBytes: () => 0,
    run: (field) =>
      callAll(field, { connections: 4, inFlight: 32 }, (calls, i) =>
        calls.whole('/kv.v1.Kv/Get', get, i % 2 === 0 ? { authorization: `Bearer qkv_root_${'A'.repeat(43)}` } : {}),
      ),
  },
  {
    name: 'wrong-logins',
    setup: 'guarded',
    size: { short: 1_000, long: 100_000 },
    mayHoldBytes: () => 0,
    run: async (field) => {
      const { tls } = field.order
      const options = { keepAlive: true, maxSockets: 32, localAddress: '127.0.0.2' }
      const agent = field.own(tls ? new TlsAgent({ ...options, rejectUnauthorized: false }) : new Agent(options))
      const ask = tls ? tlsRequest : request
      const body = JSON.stringify({ token: `qkv_root_${'A'.repeat(43)}` })
      const one = (): Promise<void> =>
        new Promise((resolve) => {
          const options = { host: '127.0.0.1', port: field.order.httpPort, path: '/login', method: 'POST', agent }
          const headers = { 'content-type': 'application/json', host: 'localhost' }
          const asked = ask({ ...options, headers }, (answer) => {
            field.tell(`HTTP ${answer.statusCode}`)
            answer.resume().once('close', resolve)
          })
          asked.once('error', (error: NodeJS.ErrnoException) => {
            field.tell(error.code ?? error.message)
            resolve()
          })
          asked.end(body)
        })
      const lane = async (): Promise<void> => {
        for (; field.sent < field.order.size && !field.over; field.sent++) await one()
      }
      await Promise.all(Array.from({ length: 32 }, lane))
    },
  },
  {
    // Streams between nodes, opened by somebody who does not know the cluster's secret and does not say so.
    name: 'unproved-links',
    setup: 'guarded',
    amongNodes: true,
    size: { short: 600, long: 4_000 },
    holdMs: { short: 200, long: 30_000 },
    mayHoldBytes: (size) => size * linkBytes,
    run: async (field) => {
      const token = Buffer.alloc(32, 7).toString('base64url')
      const headers = { 'kv-channel': 'requests', 'kv-node': 'n2', 'kv-cluster': 'c', 'kv-nonce': token }
      const opened: Calls[] = []
      const open = (): Calls => {
        const calls = new Calls(field)
        opened.push(calls)
        return calls
      }
      let calls = open()
      for (; field.sent < field.order.size && !field.over; field.sent++) {
        if (field.sent % linksEach === 0 && field.sent > 0) {
          calls = opened.length < connectionsMost ? open() : opened[(field.sent / linksEach) % opened.length]!
        }
        calls.begin('/kv.peer.v1.Peer/Exchange', headers).resume()
        if (field.sent % 50 === 0) await field.turn()
      }
      await field.hold(Promise.all(opened.map(({ closed }) => closed)))
    },
  },
]
