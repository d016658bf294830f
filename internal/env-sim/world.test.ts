import { expect, test } from 'vitest'
import { SimWorld } from './index.js'

async function play(seed: number): Promise<string> {
  const world = new SimWorld({ seed })
  const a = world.process('a')
  const b = world.process('b')
  const got: string[] = []
  await world.settle(
    b.network.listen('b:1', (link) =>
      link.start({
        message: (bytes) => {
          got.push(new TextDecoder().decode(bytes))
          link.send(bytes)
        },
        drain() {},
        close() {},
      }),
    ),
  )
  const link = await world.settle(a.network.connect('b:1', 'requests', 1000))
  let echoed = 0
  link.start({ message: () => echoed++, drain() {}, close() {} })
  for (let i = 0; i < 10; i++) link.send(new TextEncoder().encode(`m${i}`))
  await world.runUntil(() => echoed === 10)
  expect(got).toEqual(Array.from({ length: 10 }, (_, i) => `m${i}`))
  const file = await world.settle(a.disk.open('x', 'create'))
  await world.settle(file.write(new Uint8Array([1, 2, 3]), 0))
  a.crash({ disk: 'lose' })
  a.restart()
  expect(await world.settle(a.disk.list(''))).toEqual([])
  return world.hash
}

test('the same seed twice gives the same run, another seed another', async () => {
  const first = await play(1)
  expect(await play(1)).toBe(first)
  expect(await play(2)).not.toBe(first)
})
