import { limits } from '@quorumkv/internal/base'
import { SimWorld } from '@quorumkv/internal/env-sim'
import { expect, it } from 'vitest'
import { Feed, type ViewSource } from './feed.js'
import { healthOf } from './health.js'
import type { ClusterView } from './view.js'
import { clusterOf, nodeOf } from './view.test-support.js'

class Source implements ViewSource {
  made = 0
  rests = 0
  /** Views that are being made, now and at most. */
  underWay = 0
  mostUnderWay = 0
  /** What the next views wait for. */
  held: Promise<void> = Promise.resolve()

  async view(): Promise<ClusterView> {
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay)
    const view = this.#next()
    await this.held
    this.underWay--
    return view
  }

  #next(): ClusterView {
    const observed = { ...clusterOf([nodeOf(1)]), atMs: ++this.made }
    return { ...observed, health: healthOf(observed) }
  }

  rest(): void {
    this.rests++
  }
}

interface Stage {
  readonly feed: Feed
  readonly source: Source
  /** Lets virtual time pass. */
  pass(ms: number): Promise<void>
}

function stage(): Stage {
  const world = new SimWorld({ seed: 1 })
  const { clock } = world.process('node')
  const source = new Source()
  const onBug = (error: unknown): never => {
    throw error
  }
  const feed = new Feed({ clock, source, life: 'a1', onBug })
  return { feed, source, pass: (ms) => world.advance(ms) }
}

interface Page {
  /** What came with the last read, as event and data. */
  read(): Promise<{ id: string | undefined; event: string | undefined; atMs: number | undefined } | undefined>
  leave(): Promise<void>
}

function pageOf(stream: ReadableStream<Uint8Array>): Page {
  const reader = stream.getReader()
  const read: Page['read'] = async () => {
    const { done, value } = await reader.read()
    if (done) return undefined
    const text = new TextDecoder().decode(value)
    if (text.startsWith('retry:')) return await read()
    const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(text)?.[1]
    const data = field('data')
    return { id: field('id'), event: field('event'), atMs: data === undefined ? undefined : JSON.parse(data).atMs }
  }
  return { read, leave: () => reader.cancel() }
}

it('a page gets a snapshot, then a delta each second', async () => {
  const { feed, pass } = stage()
  const page = pageOf(feed.open())
  const first = page.read()
  await pass(10)
  expect(await first).toEqual({ id: 'a1-1', event: 'snapshot', atMs: 1 })
  for (const n of [2, 3]) {
    const next = page.read()
    await pass(limits.feedIntervalMs)
    expect(await next).toEqual({ id: `a1-${n}`, event: 'delta', atMs: n })
  }
})

it('nothing is collected while nobody looks, and one collection serves all pages', async () => {
  const { feed, source, pass } = stage()
  await pass(5_000)
  expect(source.made).toBe(0)
  const pages = [pageOf(feed.open()), pageOf(feed.open()), pageOf(feed.open())]
  const reads = pages.map((page) => page.read())
  await pass(10)
  expect((await Promise.all(reads)).map((frame) => frame?.id)).toEqual(['a1-1', 'a1-1', 'a1-1'])
  expect(source.made).toBe(1)
  await Promise.all(pages.map((page) => page.leave()))
  expect(feed.streams).toBe(0)
  await pass(limits.feedLingerMs + 1_000)
  const made = source.made
  expect(source.rests).toBe(1)
  await pass(60_000)
  expect(source.made).toBe(made)
})

it('a page that comes back in time goes on where it was; any other gets a snapshot', async () => {
  const { feed, pass } = stage()
  const page = pageOf(feed.open())
  const first = page.read()
  await pass(10)
  await first
  await page.leave()
  await pass(3_000)
  const back = pageOf(feed.open('a1-1'))
  expect([await back.read(), await back.read()].map((frame) => [frame?.event, frame?.id])).toEqual([
    ['delta', 'a1-2'],
    ['delta', 'a1-3'],
  ])
  for (const id of [undefined, 'b2-1', 'a1-99', 'a1-x', '']) {
    expect(await pageOf(feed.open(id)).read()).toMatchObject({ event: 'snapshot' })
  }
})

it('a page that reads slowly is brought up to now by one snapshot, and nothing waits for it meanwhile', async () => {
  const { feed, pass } = stage()
  const page = pageOf(feed.open())
  const first = page.read()
  await pass(10)
  await first
  await pass(120_000)
  expect(await page.read()).toMatchObject({ event: 'snapshot', atMs: 121 })
  const next = page.read()
  await pass(limits.feedIntervalMs)
  expect(await next).toMatchObject({ event: 'delta', atMs: 122 })
})

it('a feed that has nothing to tell says that it is there', async () => {
  const { feed, source, pass } = stage()
  source.view = () => new Promise(() => undefined)
  const page = pageOf(feed.open())
  const next = page.read()
  await pass(limits.feedHeartbeatMs + 1)
  expect(await next).toEqual({ id: undefined, event: undefined, atMs: undefined })
})

it('the number of streams is bounded, and one that ends makes room', async () => {
  const { feed } = stage()
  const pages = Array.from({ length: limits.feedStreamsMax }, () => pageOf(feed.open()))
  expect(() => feed.open()).toThrow(expect.objectContaining({ code: 'overloaded' }))
  await pages[0]!.leave()
  feed.open()
  expect(feed.streams).toBe(limits.feedStreamsMax)
})

it('a node that stops ends all streams, and opens none', async () => {
  const { feed, pass } = stage()
  const page = pageOf(feed.open())
  const first = page.read()
  await pass(10)
  await first
  const next = page.read()
  feed.close()
  expect(await next).toBeUndefined()
  expect(() => feed.open()).toThrow(expect.objectContaining({ code: 'unavailable' }))
})

it('a page that comes while a view is still made for those who have left gets one of its own, at the usual pace', async () => {
  const { feed, source, pass } = stage()
  const first = pageOf(feed.open())
  const told = first.read()
  await pass(10)
  expect((await told)?.atMs).toBe(1)
  let release = (): void => undefined
  source.held = new Promise((resolve) => {
    release = resolve
  })
  await pass(limits.feedIntervalMs)
  await first.leave()
  await pass(limits.feedLingerMs)
  expect([source.made, source.rests]).toEqual([2, 1])
  const second = pageOf(feed.open())
  const next = second.read()
  await pass(10)
  release()
  await pass(10)
  expect(await next).toMatchObject({ event: 'snapshot', atMs: 3 })
  await pass(5 * limits.feedIntervalMs)
  expect([source.made, source.mostUnderWay]).toEqual([8, 1])
  await second.leave()
})
