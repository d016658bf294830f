import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { KvError, limits } from '@quorumkv/internal/base'
import { describe, expect, it } from 'vitest'
import { FakeNode, type HeldOperation } from '../fake-node.test-support.js'
import { eventually, type LogLine } from '../services.test-support.js'
import { testApp } from './app.test-support.js'
import { HttpHost, type HttpTuning } from './http-host.js'

interface TestHost extends AsyncDisposable {
  readonly host: HttpHost
  readonly node: FakeNode
  readonly port: number
  readonly url: string
  readonly lines: LogLine[]
  readonly bugs: unknown[]
}

async function startHost(tuning: HttpTuning = {}): Promise<TestHost> {
  const node = new FakeNode()
  const { app, services, lines, bugs } = testApp(node)
  const host = new HttpHost(app, services.log, services.onBug, { tuning: { checkIntervalMs: 20, ...tuning } })
  const [address] = await host.bind([{ host: '127.0.0.1', port: 0, optional: false }])
  const port = Number(address!.split(':')[1])
  const stop = (): Promise<void> => host.stop(0)
  return { host, node, port, url: `http://${address}`, lines, bugs, [Symbol.asyncDispose]: stop }
}

/** A connection on which requests are written by hand. */
class RawClient {
  received = ''
  closed = false
  readonly #socket: Socket

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.on('data', (data) => {
      this.received += data.toString('latin1')
    })
    this.#socket.on('close', () => {
      this.closed = true
    })
    // A reset is one of the ways in which a server may end a connection.
    this.#socket.on('error', () => undefined)
  }

  write(text: string): void {
    this.#socket.write(text)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  async end(): Promise<string> {
    if (!this.closed) await once(this.#socket, 'close')
    return this.received
  }
}

const hostLine = 'Host: localhost'

describe('stopping', () => {
  it('closes what is idle, lets what runs end, and cuts off what does not', async () => {
    await using test = await startHost()
    const { host, node, url, port } = test
    const held: HeldOperation[] = []
    node.held = held
    const idle = new RawClient(port)
    idle.write(`GET /livez HTTP/1.1\r\n${hostLine}\r\n\r\n`)
    await eventually('it is answered', () => idle.received.endsWith('ok\n'))
    const ends = fetch(`${url}/kv/a`)
    const hangs = new RawClient(port)
    hangs.write(`GET /kv/b HTTP/1.1\r\n${hostLine}\r\n\r\n`)
    await eventually('both run', () => held.length === 2)
    const stopped = host.stop(300)
    await idle.end()
    held.find(({ key }) => key === 'a')!.release()
    expect((await ends).status).toBe(404)
    await stopped
    expect(await hangs.end()).toBe('')
    await expect(fetch(`${url}/livez`)).rejects.toThrow()
  })
})

describe('a caller', () => {
  it('that goes away ends its operation', async () => {
    await using test = await startHost()
    const held: HeldOperation[] = []
    test.node.held = held
    const client = new RawClient(test.port)
    client.write(`GET /kv/a HTTP/1.1\r\n${hostLine}\r\n\r\n`)
    await eventually('it runs', () => held.length === 1)
    client.destroy()
    await eventually('it is cancelled', () => held[0]!.cancellation?.cancelled === true)
    held[0]!.fail(new KvError('cancelled', 'nobody waits'))
    expect(test.bugs).toEqual([])
  })

  it('that goes away in the middle of a body has written nothing', async () => {
    await using test = await startHost()
    const client = new RawClient(test.port)
    client.write(`PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n`)
    await eventually('it may go on', () => client.received.includes('100 Continue'))
    client.write('half')
    client.destroy()
    await fetch(`${test.url}/livez`)
    expect([test.node.records.size, test.bugs]).toEqual([0, []])
  })

  it('that says how large its body is, and that it is too large, is refused before it is sent', async () => {
    await using test = await startHost()
    const client = new RawClient(test.port)
    client.write(`PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nContent-Length: ${limits.valueBytesMax + 1}\r\n\r\n`)
    await eventually('it is refused', () => client.received.includes(' 413 '))
    client.destroy()
  })

  it('that asks before it sends is told to go on, or why not', async () => {
    await using test = await startHost()
    const head = (bytes: number): string =>
      `PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nExpect: 100-continue\r\nContent-Length: ${bytes}\r\n\r\n`
    const refused = new RawClient(test.port)
    refused.write(head(limits.valueBytesMax + 1))
    expect(await refused.end()).toMatch(/^HTTP\/1.1 413 /)
    const taken = new RawClient(test.port)
    taken.write(head(2))
    await eventually('it may go on', () => taken.received.startsWith('HTTP/1.1 100 '))
    taken.write('ok')
    await eventually('it is stored', () => taken.received.includes('HTTP/1.1 200 '))
    taken.destroy()
  })

  it('that hides its origin behind thousands of headers is refused as another page', async () => {
    await using test = await startHost()
    const client = new RawClient(test.port)
    const many = 'a:\r\n'.repeat(2_500)
    const origin = 'Origin: http://evil.example\r\nContent-Length: 0\r\nConnection: close\r\n'
    client.write(`PUT /kv/a HTTP/1.1\r\n${hostLine}\r\n${many}${origin}\r\n`)
    expect(await client.end()).toMatch(/^HTTP\/1.1 403 /)
    expect(test.node.records.size).toBe(0)
  })

  it('that sends without end is cut off', async () => {
    await using test = await startHost()
    const client = new RawClient(test.port)
    client.write(`PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nTransfer-Encoding: chunked\r\n\r\n`)
    const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`
    await eventually('it is cut off', () => {
      if (!client.closed) client.write(chunk)
      return client.closed
    })
    expect(client.received).toMatch(/^HTTP\/1.1 413 /)
    expect(test.node.records.size).toBe(0)
  })

  it('that is slow with its headers, or its body, is cut off', async () => {
    await using test = await startHost({ headersTimeoutMs: 100, requestTimeoutMs: 200 })
    const headers = new RawClient(test.port)
    headers.write('GET /livez HTTP/1.1\r\n')
    const body = new RawClient(test.port)
    body.write(`PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nContent-Length: 10\r\n\r\nhalf`)
    expect(await headers.end()).toMatch(/^HTTP\/1.1 408 .*application\/problem\+json/s)
    expect(await body.end()).toMatch(/^(HTTP\/1.1 (408|499) .*)?$/s)
    expect([test.node.records.size, test.bugs]).toEqual([0, []])
  })

  it('beyond the limit of connections is not accepted, and the log says so', async () => {
    await using test = await startHost({ connectionsMax: 2 })
    const clients = [1, 2].map(() => new RawClient(test.port))
    for (const client of clients) client.write(`GET /livez HTTP/1.1\r\n${hostLine}\r\n\r\n`)
    await eventually('both are served', () => clients.every(({ received }) => received.endsWith('ok\n')))
    const third = new RawClient(test.port)
    expect(await third.end()).toBe('')
    expect(test.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
    for (const client of clients) client.destroy()
  })
})

describe('what is no request', () => {
  const longKey = 'x'.repeat(limits.httpHeaderBytesMax)
  it.each([
    ['a line that is not HTTP', 'HELLO\r\n\r\n', 400],
    ['headers that are too large', `GET /kv/${longKey} HTTP/1.1\r\n${hostLine}\r\n\r\n`, 431],
    ['no host', 'GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['a tunnel', `CONNECT localhost:80 HTTP/1.1\r\n${hostLine}\r\n\r\n`, 405],
    ['an expectation', `PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n`, 417],
    [
      'a coding',
      `PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`,
      501,
    ],
    ['two lengths', `PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab`, 400],
    [
      'a length and chunks',
      `PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ['a key that is not percent-encoded', `GET /kv/\xe4 HTTP/1.1\r\n${hostLine}\r\n\r\n`, 400],
    ['a host that is none', 'GET /livez HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n', 400],
    [
      'another host in the line',
      `GET http://localhost:1/livez HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n`,
      400,
    ],
  ])('%s', async (_, text, status) => {
    await using test = await startHost()
    const client = new RawClient(test.port)
    client.write(text)
    const received = await client.end()
    expect(received).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(received.toLowerCase()).toContain('content-type: application/problem+json')
    const problem = JSON.parse(received.slice(received.indexOf('\r\n\r\n') + 4))
    expect(problem).toMatchObject({ status, code: 'invalid-argument', field: expect.any(String) })
    expect([test.node.records.size, test.bugs]).toEqual([0, []])
  })
})
