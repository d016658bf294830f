import {
  Client,
  type ClientReadableStream,
  credentials,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { service } from 'grpc-health-check'
import { describe, expect, it } from 'vitest'
import { eventually } from '../calls/services.test-support.js'
import { Health } from './health.js'

interface Answer {
  readonly status: string
}

/** A server with nothing but the health, and callers from as many connections as they like. */
class Scene implements AsyncDisposable {
  readonly health: Health
  readonly #server = new Server()
  readonly #clients: Client[] = []
  #address = ''

  constructor(...places: readonly [max: number, perAddressMax: number] | readonly []) {
    const [max, perAddressMax] = places
    const limits = max === undefined ? undefined : { max, perAddressMax: perAddressMax! }
    this.health = new Health(this.#server, limits)
  }

  async begin(): Promise<this> {
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      )
    })
    this.#address = `127.0.0.1:${port}`
    return this
  }

  #client(): Client {
    const client = new Client(this.#address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
    this.#clients.push(client)
    return client
  }

  check(name: string): Promise<Answer> {
    const { path, requestSerialize, responseDeserialize } = service['Check'] as (typeof service)[string]
    return new Promise((resolve, reject) => {
      this.#client().makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        { service: name },
        (error, answer) => (error === null ? resolve(answer as Answer) : reject(error)),
      )
    })
  }

  /** What a watcher is told, and what its call ends with. */
  watch(name: string): { readonly told: string[]; end: number | undefined; cancel: () => void } {
    const { path, requestSerialize, responseDeserialize } = service['Watch'] as (typeof service)[string]
    const call: ClientReadableStream<unknown> = this.#client().makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { service: name },
    )
    const watcher = { told: [] as string[], end: undefined as number | undefined, cancel: () => call.cancel() }
    call.on('data', (answer: Answer) => watcher.told.push(answer.status))
    call.on('error', ({ code }: ServiceError) => {
      watcher.end = code
    })
    return watcher
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.close()
    this.#server.forceShutdown()
  }
}

describe('the health', () => {
  it('is told to who checks and who watches, of the server and of the store', async () => {
    await using scene = await new Scene().begin()
    const watcher = scene.watch('kv.v1.Kv')
    await eventually('it is told', () => watcher.told.length === 1)
    scene.health.set(true)
    await eventually('it is told of the change', () => watcher.told.length === 2)
    expect(watcher.told).toEqual(['NOT_SERVING', 'SERVING'])
    expect([await scene.check(''), await scene.check('kv.v1.Kv')]).toEqual([
      { status: 'SERVING' },
      { status: 'SERVING' },
    ])
    await expect(scene.check('x')).rejects.toMatchObject({ code: status.NOT_FOUND })
  })

  it('of a service that there is not is unknown, and nothing is kept of who has asked for it', async () => {
    await using scene = await new Scene().begin()
    const watchers = Array.from({ length: 5 }, (_, i) => scene.watch(`none ${i}`))
    await eventually('they are told', () => watchers.every(({ told }) => told.length === 1))
    scene.health.set(true)
    for (const { cancel } of watchers) cancel()
    await eventually('they have gone', () => scene.health.watchers === 0)
    expect(watchers.map(({ told }) => told)).toEqual(watchers.map(() => ['SERVICE_UNKNOWN']))
  })

  it.each([
    ['all', 3, 10],
    ['one address', 10, 3],
  ])('is watched by as many as places for %s; one more ends the oldest', async (_, max, perAddressMax) => {
    await using scene = await new Scene(max, perAddressMax).begin()
    const watchers: ReturnType<Scene['watch']>[] = []
    for (let i = 1; i <= 3; i++) {
      watchers.push(scene.watch(i === 2 ? 'none' : ''))
      await eventually('it is told', () => watchers.at(-1)!.told.length === 1)
    }
    expect([scene.health.watchers, watchers.map(({ end }) => end)]).toEqual([3, [undefined, undefined, undefined]])
    const more = scene.watch('')
    await eventually('it is told', () => more.told.length === 1)
    await eventually('the oldest has ended', () => watchers[0]!.end !== undefined)
    expect(watchers.map(({ end }) => end)).toEqual([status.RESOURCE_EXHAUSTED, undefined, undefined])
    expect(scene.health.watchers).toBe(3)
    watchers[2]!.cancel()
    await eventually('its place is free', () => scene.health.watchers === 2)
  })
})
