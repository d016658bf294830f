import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { eventually, type LogLine, recordingLog } from '../calls/services.test-support.js'
import { addressGroup, ConnectionGate, type ConnectionGateOptions } from './connection-gate.js'

class Guarded implements AsyncDisposable {
  readonly gate: ConnectionGate
  readonly lines: LogLine[] = []
  readonly #server: Server
  readonly #listening: Promise<unknown>
  readonly #sockets: Socket[] = []
  /** Connections that came through. */
  served = 0

  constructor(options: Partial<ConnectionGateOptions>) {
    const log = recordingLog(this.lines)
    this.gate = new ConnectionGate({ protocol: 'test', log, connectionsMax: 100, perAddressMax: 100, ...options })
    this.#server = createServer((socket) => {
      this.served++
      socket.on('error', () => undefined)
    })
    this.gate.guard(this.#server)
    this.#server.listen(0, '127.0.0.1')
    this.#listening = once(this.#server, 'listening')
  }

  /** Connects from one of this machine's own addresses. */
  async connect(localAddress: string): Promise<Socket> {
    await this.#listening
    const { port } = this.#server.address() as AddressInfo
    const socket = connect({ host: '127.0.0.1', port, localAddress })
    socket.on('error', () => undefined).resume()
    this.#sockets.push(socket)
    await once(socket, 'connect')
    return socket
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

describe('connections', () => {
  it('are served up to the limit; one more is closed, and has its place when another has left', async () => {
    await using test = new Guarded({ connectionsMax: 3 })
    const first = await test.connect('127.0.0.1')
    await test.connect('127.0.0.2')
    await test.connect('127.0.0.3')
    await eventually('all are served', () => test.served === 3)
    const late = await test.connect('127.0.0.4')
    await once(late, 'close')
    expect([test.served, test.gate.open, test.gate.refused]).toEqual([3, 3, 1])
    expect(test.lines).toMatchObject([{ level: 'warn', facts: { why: '3 are open', refused: 1 } }])
    first.destroy()
    await eventually('it has left', () => test.gate.open === 2)
    await test.connect('127.0.0.4')
    await eventually('there was room', () => test.served === 4)
  })

  it('of one address are counted apart, and take no place of others', async () => {
    await using test = new Guarded({ perAddressMax: 2 })
    await test.connect('127.0.0.2')
    await test.connect('127.0.0.2')
    await once(await test.connect('127.0.0.2'), 'close')
    await test.connect('127.0.0.3')
    await eventually('others are served', () => test.served === 3)
    expect([test.gate.open, test.gate.refused]).toEqual([3, 1])
  })

  it('that come in thousands are told of once', async () => {
    await using test = new Guarded({ perAddressMax: 1 })
    await test.connect('127.0.0.1')
    for (let i = 0; i < 20; i++) await once(await test.connect('127.0.0.1'), 'close')
    expect([test.gate.refused, test.lines.length]).toEqual([20, 1])
  })
})

it('IPv6 addresses of one network count as one, and mapped ones as what they are', () => {
  const groups = {
    '127.0.0.1': '127.0.0.1',
    '::ffff:10.1.2.3': '10.1.2.3',
    '::1': '0:0:0:0',
    '2001:db8::1': '2001:db8:0:0',
    '2001:db8::ffff:1:2:3': '2001:db8:0:0',
    '2001:0DB8:0:0:1:2:3:4': '2001:db8:0:0',
    '2001:db8:0:1::': '2001:db8:0:1',
    'fe80::1%eth0': 'fe80:0:0:0',
  }
  for (const [address, group] of Object.entries(groups))
    expect([address, addressGroup(address)]).toEqual([address, group])
})
