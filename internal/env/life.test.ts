import { expect, test } from 'vitest'
import { NodeClock } from '../env-node/index.js'
import type { Disk, DiskFile, Link, LinkHandlers, Network } from './index.js'
import { Life } from './life.js'

/** Resolves when everything that was ready has run. */
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

/** A disk of one file, each of whose operations waits to be let go. */
function slowDisk(): { disk: Disk; events: string[]; letGo(): void } {
  const events: string[] = []
  let waiting: (() => void)[] = []
  const slow = async <T>(event: string, result: T): Promise<T> => {
    await new Promise<void>((resolve) => waiting.push(resolve))
    events.push(event)
    return result
  }
  const file = {
    path: 'a',
    write: (from: Uint8Array) => slow('write', from.length),
    sync: () => slow('sync', undefined),
    close: async () => void events.push('close'),
  } as unknown as DiskFile
  const disk = { open: async () => file, remove: () => slow('remove', undefined) } as unknown as Disk
  const letGo = (): void => {
    for (const each of waiting) each()
    waiting = []
  }
  return { disk, events, letGo }
}

test('when a life ends its timers and what it deferred never run', async () => {
  const life = new Life()
  const clock = life.clock(new NodeClock())
  let fired = 0
  clock.setTimer(1, () => fired++)
  clock.defer(() => fired++)
  await life.end()
  clock.setTimer(1, () => fired++)
  clock.defer(() => fired++)
  await turn()
  expect(fired).toBe(0)
})

test('what was asked of the disk happens, nobody hears of it, nothing follows, and files are closed behind it', async () => {
  const life = new Life()
  const { disk, events, letGo } = slowDisk()
  const mounted = life.disk(disk)
  const file = await mounted.open('a', 'write')
  let heard = 0
  void file.write(new Uint8Array(3), 0).then(() => heard++)
  const ended = life.end().then(() => events.push('ended'))
  void file.sync().then(() => heard++)
  void mounted.remove('a').then(() => heard++)
  await turn()
  expect(events).toEqual([])
  letGo()
  await ended
  expect(events).toEqual(['write', 'close', 'ended'])
  await turn()
  expect(heard).toBe(0)
})

test('links of a life that has ended carry nothing, either way, and are not closed by it', async () => {
  const life = new Life()
  const events: string[] = []
  let handlers: LinkHandlers | undefined
  const link: Link = {
    remote: 'there',
    proved: undefined,
    start: (given) => {
      handlers = given
    },
    send: () => events.push('sent') > 0,
    close: () => void events.push('closed'),
  }
  const network = life.network({ connect: async () => link } as unknown as Network)
  const own = await network.connect('there', 'requests', 1_000)
  own.start({
    message: () => void events.push('message'),
    drain: () => void events.push('drain'),
    close: () => void events.push('close'),
  })
  own.send(new Uint8Array(1))
  handlers?.message(new Uint8Array(1))
  expect(events).toEqual(['sent', 'message'])
  await life.end()
  expect(own.send(new Uint8Array(1))).toBe(false)
  handlers?.message(new Uint8Array(1))
  handlers?.drain()
  handlers?.close('gone')
  own.close('done')
  expect(events).toEqual(['sent', 'message'])
})
