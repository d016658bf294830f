import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { makeClient, startServers } from '../fixtures.js'

const delayMs = 2_500

/** A path to a server on which what the client says is late while `late`; order and bytes are kept, as TCP does. */
class SlowPath implements AsyncDisposable {
  late = false
  readonly #server: Server

  constructor(port: number) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      const server = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      let turn: Promise<void> = Promise.resolve()
      const forward = (act: () => void): void => {
        const atMs = performance.now() + (this.late ? delayMs : 0)
        turn = turn.then(async () => {
          const restMs = atMs - performance.now()
          if (restMs > 0) await sleep(restMs)
          act()
        })
      }
      client.on('data', (bytes) => forward(() => server.write(bytes)))
      client.on('end', () => forward(() => server.end()))
      for (const event of ['error', 'close']) client.on(event, () => forward(() => server.destroy()))
      server.on('data', (bytes) => client.write(bytes))
      server.on('end', () => client.end())
      server.on('error', () => client.destroy())
    }).listen(0, '127.0.0.1')
  }

  async address(): Promise<string> {
    if (!this.#server.listening) await once(this.#server, 'listening')
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
  }
}

it('a write that was delayed on its way does not undo what was acknowledged after its repetition', async () => {
  await using cluster = await startServers(3)
  const [first, second] = cluster.addresses
  await using path = new SlowPath(Number(second!.split(':')[1]))
  const addressMap = { [second!]: await path.address() }
  await using client = makeClient([first!], { addressMap, timeoutMs: 20_000 })
  await client.ready()
  const keys: string[] = []
  for (let i = 0; keys.length < 8; i++) {
    const { owners } = await client.partition(`d${i}`)
    if (owners[0]!.id === 'n2') keys.push(`d${i}`)
  }
  await Promise.all(keys.map((key) => client.put(key, 'v0')))
  path.late = true
  const startMs = performance.now()
  await Promise.all(keys.map((key) => client.put(key, 'v1')))
  expect(performance.now() - startMs, 'the repetition was faster than the delayed attempt').toBeLessThan(delayMs)
  await using other = makeClient([first!], { addressMap: { [second!]: first! } })
  await Promise.all(keys.slice(4).map((key) => other.put(key, 'v2')))
  await Promise.all(keys.slice(0, 4).map((key) => other.delete(key)))
  // The delayed attempts arrive meanwhile.
  await sleep(delayMs + 1_000)
  const found = await other.getMany(keys)
  expect(keys.map((key) => found.get(key))).toEqual([...Array(4).fill(undefined), ...Array(4).fill('v2')])
})
