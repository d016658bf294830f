import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { KvError, limits } from '@quorumkv/internal/base'
import { describe, expect, it } from 'vitest'
import { FakeNode, type HeldOperation } from '../calls/fake-node.test-support.js'
import { eventually, type LogLine } from '../calls/services.test-support.js'
import type { Feed } from '../feed/feed.js'
import { testApp } from './app.test-support.js'
import { ByteBudget } from './byte-budget.js'
import { HttpHost, type HttpTuning } from './http-host.js'

interface TestHost extends AsyncDisposable {
  readonly host: HttpHost
  readonly node: FakeNode
  readonly port: number
  readonly url: string
  readonly lines: LogLine[]
  readonly bugs: unknown[]
  /** Values that were asked for. */
  gets: number
}

async function startHost(tuning: HttpTuning = {}, parts: Parameters<typeof testApp>[1] = {}): Promise<TestHost> {
  const node = new FakeNode()
  const { app, services, lines, bugs } = testApp(node, parts)
  const host = new HttpHost(app, services.log, services.onBug, { tuning: { checkIntervalMs: 20, ...tuning } })
  const [address] = await host.bind([{ host: '127.0.0.1', port: 0, optional: false }])
  const port = Number(address!.split(':')[1])
  const stop = (): Promise<void> => host.stop(0)
  return { host, node, port, url: `http://${address}`, lines, bugs, gets: 0, [Symbol.asyncDispose]: stop }
}

/** A connection on which requests are written by hand. */
class RawClient {
  received = ''
  closed = false
  readonly #socket: Socket

  constructor(port: number, localAddress = '127.0.0.1') {
    this.#socket = connect({ port, host: '127.0.0.1', localAddress })
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

  /** Reads no more. */
  pause(): void {
    this.#socket.pause()
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
    const beginMs = performance.now()
    expect(await headers.end()).toMatch(/^HTTP\/1.1 408 .*application\/problem\+json/s)
    expect(performance.now() - beginMs).toBeGreaterThan(80)
    expect(await body.end()).toMatch(/^(HTTP\/1.1 (408|499) .*)?$/s)
    expect(performance.now() - beginMs).toBeGreaterThan(180)
    expect([test.node.records.size, test.bugs]).toEqual([0, []])
  })

  it('beyond the limit of connections is not accepted where on each something is asked, and the log says so', async () => {
    await using test = await startHost({ connectionsMax: 2 })
    test.node.held = []
    const clients = [1, 2].map(() => new RawClient(test.port))
    for (const client of clients) client.write(`GET /kv/a HTTP/1.1\r\n${hostLine}\r\n\r\n`)
    await eventually('both are being served', () => test.node.held?.length === 2)
    const third = new RawClient(test.port)
    expect(await third.end()).toBe('')
    expect(test.lines.filter(({ level }) => level === 'warn')).toHaveLength(1)
    expect(test.host.read()).toMatchObject({ connections: 2, refused: 1 })
    for (const client of clients) client.destroy()
  })

  it('beyond the limit takes the place of the connection that has been idle for longest', async () => {
    await using test = await startHost({ connectionsMax: 3 })
    const head = `GET /livez HTTP/1.1\r\n${hostLine}\r\n`
    const [answered, silent, unfinished] = [1, 2, 3].map(() => new RawClient(test.port))
    await eventually('all are there', () => test.host.read().connections === 3)
    unfinished!.write(head)
    answered!.write(`${head}\r\n`)
    await eventually('it is served', () => answered!.received.endsWith('ok\n'))
    // Whoever was answered last has been idle for the shortest time.
    const newcomers: RawClient[] = []
    for (const closes of [silent, unfinished, answered]) {
      const newcomer = new RawClient(test.port)
      newcomer.write(`${head}\r\n`)
      newcomers.push(newcomer)
      await eventually('the newcomer is served', () => newcomer.received.endsWith('ok\n'))
      await eventually('another made room', () => closes!.closed)
    }
    expect([newcomers.map(({ closed }) => closed), test.host.read().refused]).toEqual([[false, false, false], 0])
    for (const newcomer of newcomers) newcomer.destroy()
  })
})

describe('a connection', () => {
  it('beyond the limit of its address is not accepted', async () => {
    await using test = await startHost({ perAddressMax: 2 })
    const clients = [1, 2].map(() => new RawClient(test.port))
    for (const client of clients) client.write(`GET /livez HTTP/1.1\r\n${hostLine}\r\n\r\n`)
    await eventually('both are served', () => clients.every(({ received }) => received.endsWith('ok\n')))
    expect(await new RawClient(test.port).end()).toBe('')
    for (const client of clients) client.destroy()
  })

  it.each([
    ['between two requests', { keepAliveMs: 300 }, ''],
    ['while a request is worked on', { silenceMs: 300 }, '/kv/a'],
  ])('on which nothing is said for too long %s is closed, and not before', async (_name, tuning, path) => {
    await using test = await startHost(tuning)
    test.node.held = []
    const client = new RawClient(test.port)
    client.write(`GET /livez HTTP/1.1\r\n${hostLine}\r\n\r\n`)
    await eventually('it is answered', () => client.received.endsWith('ok\n'))
    const beginMs = performance.now()
    if (path !== '') client.write(`GET ${path} HTTP/1.1\r\n${hostLine}\r\n\r\n`)
    await eventually('it is closed', () => client.closed)
    expect(performance.now() - beginMs).toBeGreaterThan(250)
    for (const { fail } of test.node.held) fail(new KvError('cancelled', 'nobody waits'))
  })

  /** As Node counts them: the URL, names and values. */
  it('takes fewer bytes of headers than the limit, and no more', async () => {
    await using test = await startHost()
    const ask = async (bytes: number): Promise<string> => {
      const counted = '/livez' + 'Host' + 'localhost' + 'Connection' + 'close' + 'padding'
      const padding = 'x'.repeat(bytes - counted.length)
      const client = new RawClient(test.port)
      client.write(`GET /livez HTTP/1.1\r\n${hostLine}\r\nConnection: close\r\npadding: ${padding}\r\n\r\n`)
      return (await client.end()).slice(0, 12)
    }
    expect(await ask(limits.httpHeaderBytesMax - 1)).toBe('HTTP/1.1 200')
    expect(await ask(limits.httpHeaderBytesMax)).toBe('HTTP/1.1 431')
  })
})

describe('a reader that takes nothing', { timeout: 60_000 }, () => {
  /** A host with a value as large as one may be, of which so many may be on their way; as JSON it is more than sockets keep. */
  async function hostWithLarge(tuning: HttpTuning, values: number): Promise<TestHost> {
    const test = await startHost(tuning, { bodies: new ByteBudget(values * limits.valueBytesMax) })
    const options = { consistency: 'quorum', deadlineMs: Number.POSITIVE_INFINITY } as const
    await test.node.put(Buffer.from('large'), Buffer.alloc(limits.valueBytesMax), options)
    const get = test.node.get.bind(test.node)
    test.node.get = (...of) => {
      test.gets++
      return get(...of)
    }
    return test
  }

  /** Asks for the value so many times in one piece, and reads nothing. */
  function deafClient(port: number, times: number): RawClient {
    const deaf = new RawClient(port)
    deaf.pause()
    deaf.write(`GET /kv/large HTTP/1.1\r\n${hostLine}\r\n\r\n`.repeat(times))
    return deaf
  }

  /** The status of an answer that has come to its end; 0 where it has not, as its connection had to make room. */
  async function statusOf(test: TestHost): Promise<number> {
    try {
      const response = await fetch(`${test.url}/kv/large`)
      await response.arrayBuffer()
      return response.status
    } catch {
      return 0
    }
  }

  /** Asks for it from many connections; waits until all of them have it. */
  async function allAreAnswered(test: TestHost, count: number): Promise<void> {
    let statuses: number[] = []
    for (let endMs = performance.now() + 20_000; performance.now() < endMs; ) {
      statuses = await Promise.all(Array.from({ length: count }, () => statusOf(test)))
      if (statuses.every((status) => status === 200)) return
    }
    expect(statuses).toEqual(statuses.map(() => 200))
  }

  const wasCut = ({ lines }: TestHost) => lines.filter(({ message }) => message === 'a connection was cut off').length

  it('of many answers is cut off when its time is over, and all that it held is given back', async () => {
    await using test = await hostWithLarge({ readerStallMs: 1_500 }, 8)
    const deaf = deafClient(test.port, 16)
    await eventually('it is cut off', () => wasCut(test) === 1)
    await allAreAnswered(test, 8)
    deaf.destroy()
  })

  it('and leaves has given back what it held, also for answers whose turn had not come', async () => {
    await using test = await hostWithLarge({}, 8)
    const deaf = deafClient(test.port, 16)
    await eventually('no more may be asked for', () => test.gets === 16)
    deaf.destroy()
    await allAreAnswered(test, 8)
  })

  it('has as many requests worked on as it may; with one more it is closed', async () => {
    await using test = await startHost()
    const ask = `GET /livez HTTP/1.1\r\n${hostLine}\r\n\r\n`
    const client = new RawClient(test.port)
    client.write(ask.repeat(limits.httpPipelinedMax))
    const answers = (): number => client.received.split('HTTP/1.1 200').length - 1
    await eventually('all are answered', () => answers() === limits.httpPipelinedMax)
    client.write(ask)
    await eventually('more as well', () => answers() === limits.httpPipelinedMax + 1)
    client.write(ask.repeat(limits.httpPipelinedMax + 1))
    await eventually('it is closed', () => client.closed)
  })

  it('makes room for those who read, as soon as it holds all that may be on its way', async () => {
    await using test = await hostWithLarge({}, 8)
    const deaf = deafClient(test.port, 16)
    const statuses: number[] = []
    for (let endMs = performance.now() + 20_000; statuses.at(-1) !== 200 && performance.now() < endMs; ) {
      statuses.push(await statusOf(test))
    }
    expect([statuses[0], statuses.at(-1), wasCut(test)]).toEqual([429, 200, 1])
    deaf.destroy()
  })

  it('of a feed is cut off, and nothing is made for it meanwhile', async () => {
    let made = 0
    let left = false
    const feed = {
      open: () =>
        new ReadableStream(
          {
            pull: (controller) => {
              made++
              controller.enqueue(new Uint8Array(262_144))
            },
            cancel: () => {
              left = true
            },
          },
          { highWaterMark: 0 },
        ),
    } as unknown as Feed
    await using test = await startHost({ readerStallMs: 400 }, { feed })
    const deaf = new RawClient(test.port)
    deaf.pause()
    deaf.write(`GET /feed HTTP/1.1\r\n${hostLine}\r\n\r\n`)
    await eventually('it is cut off', () => left)
    // What the kernel holds for both ends, and one or two more.
    expect(made).toBeLessThan(100)
    deaf.destroy()
  })
})

it('bodies that do not come to their end make room for those that do, once they hold all that may be on its way', async () => {
  await using test = await startHost({}, { bodies: new ByteBudget(3_000) })
  const client = new RawClient(test.port)
  client.write(`PUT /kv/a HTTP/1.1\r\n${hostLine}\r\n`)
  client.write(`Content-Type: application/octet-stream\r\nContent-Length: 3000\r\n\r\n${'x'.repeat(2_999)}`)
  const init = { method: 'PUT', headers: { 'content-type': 'application/octet-stream' }, body: 'yy' }
  const statuses: number[] = []
  for (let endMs = performance.now() + 5_000; statuses.at(-1) !== 200 && performance.now() < endMs; ) {
    statuses.push((await fetch(`${test.url}/kv/b`, init)).status)
  }
  expect([statuses.includes(429), statuses.at(-1), client.closed]).toEqual([true, 200, true])
  expect([...test.node.records.keys()]).toEqual(['b'])
})

it('bodies make room only to those whose address holds less', async () => {
  // Room for all but one byte, and for all.
  for (const [bytes, cut] of [
    [500, false],
    [501, true],
  ] as const) {
    const bodies = new ByteBudget(3_000)
    await using test = await startHost({ checkIntervalMs: 60_000 }, { bodies })
    const begin = (address: string, body: number): RawClient => {
      const client = new RawClient(test.port, address)
      client.write(`PUT /kv/a HTTP/1.1\r\n${hostLine}\r\nContent-Type: application/octet-stream\r\n`)
      client.write(`Content-Length: 3000\r\n\r\n${'x'.repeat(body)}`)
      return client
    }
    const little = begin('127.0.0.2', 500)
    const much = [begin('127.0.0.3', 1_000), begin('127.0.0.3', 1_000)]
    await eventually('all are there', () => bodies.held === 2_500)
    const init = { method: 'PUT', headers: { 'content-type': 'application/octet-stream' }, body: 'x'.repeat(bytes) }
    expect((await fetch(`${test.url}/kv/b`, init)).status).toBe(200)
    await eventually(
      'the one with most has made room',
      () => much.filter(({ closed }) => closed).length === (cut ? 1 : 0),
    )
    expect(little.closed).toBe(false)
    // Who holds most makes no room for itself among others.
    const more = new RawClient(test.port, '127.0.0.3')
    more.write(`PUT /kv/c HTTP/1.1\r\n${hostLine}\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n`)
    more.write(`Content-Length: 2999\r\n\r\n${'x'.repeat(2_999)}`)
    expect(await more.end()).toContain(' 429 ')
    expect(little.closed).toBe(false)
    for (const client of [little, ...much]) client.destroy()
  }
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
