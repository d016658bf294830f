import { expect, test } from 'vitest'
import { TestAuthFile } from '../access/access.test-support.js'
import { AccessControl } from '../access/access-control.js'
import { AuthFile } from '../access/auth-file.js'
import { CallerProof } from '../access/caller-proof.js'
import { FakeNode } from '../fake-node.test-support.js'
import { testClock } from '../services.test-support.js'
import { ClusterSecret } from '../tls/cluster-secret.js'
import { testApp } from './app.test-support.js'

test('what a node shows other nodes for a minute begins nothing over HTTP that would outlast that', async () => {
  using file = new TestAuthFile()
  const proof = new CallerProof(new ClusterSecret(Buffer.alloc(32, 7)), testClock)
  const { app, services } = testApp(new FakeNode(), {}, (node, log) => {
    const audit = (): void => undefined
    return new AccessControl({ clock: testClock, log, audit, node, file: new AuthFile(file.path), proof })
  })
  const status = async (path: string, authorization: string): Promise<number> => {
    const response = await app.request(`http://kv.example:8080${path}`, { headers: { authorization } })
    await response.body?.cancel()
    return response.status
  }
  expect(services.access.identify(proof.show('n1'))).toMatchObject({ source: 'node' })
  for (const path of ['/feed', '/cluster']) expect(await status(path, proof.show('n1'))).toBe(401)
  expect(await status('/version', `Bearer ${file.token}`)).toBe(200)
  services.access.stop()
})
