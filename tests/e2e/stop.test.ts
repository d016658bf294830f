import { expect, it } from 'vitest'
import { eventually, startServers } from '../fixtures.js'

it('a node stops in time while another, which is linked to it, stands still, and a page looks on', async () => {
  await using cluster = await startServers(3, { http: true })
  const [, stopping, hung] = cluster.servers
  const page = await fetch(`${stopping!.httpUrl}/feed`)
  const reader = page.body!.getReader()
  await reader.read()
  hung!.signal('SIGSTOP')
  await eventually('it is missed', () =>
    stopping!.lines.some(({ msg, node }) => msg === 'lost a node' && node === 'n3'),
  )
  const startMs = performance.now()
  expect(await stopping!.stop()).toEqual({ status: 0, signal: null })
  // Between a few seconds for what is cut off, and 30 s after which an orchestrator would kill it.
  expect(performance.now() - startMs).toBeLessThan(20_000)
  while (!(await reader.read()).done);
})
