import { describe, expect, it } from 'vitest'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { testApp } from './app.test-support.js'

describe('readyz', () => {
  it('is 200 for a node that serves', async () => {
    const response = await testApp().app.request('/readyz')
    expect([response.status, await response.text()]).toEqual([200, 'ok\n'])
  })

  it('names what keeps a node from serving', async () => {
    const forming = new FakeNode()
    forming.phase = 'forming'
    const draining = new FakeNode()
    draining.topology = fakeTopology(1)
    draining.members = { draining: true } as NonNullable<FakeNode['members']>
    const stopping = new FakeNode()
    stopping.phase = 'stopping'
    const cases = [
      ['starting', 'starting'],
      [forming, 'forming'],
      [draining, 'draining'],
      [stopping, 'stopping'],
    ] as const
    for (const [node, reason] of cases) {
      const { app, bugs } = testApp(node)
      const response = await app.request('/readyz')
      expect(response.status).toBe(503)
      expect(response.headers.get('content-type')).toBe('application/problem+json')
      expect(await response.json()).toMatchObject({ code: 'unavailable', reasons: [expect.stringContaining(reason)] })
      const verbose = await app.request('/readyz?verbose')
      expect(verbose.status).toBe(503)
      expect(await verbose.text()).toMatch(new RegExp(`^\\[-\\].* failed: ${reason}`, 'm'))
      expect((await app.request('/livez')).status).toBe(200)
      expect(bugs).toEqual([])
    }
  })
})
