import { expect, test } from 'vitest'
import { TestAuthFile } from '../access/access.test-support.js'
import { AccessControl } from '../access/access-control.js'
import { AuthFile } from '../access/auth-file.js'
import { CallerProof } from '../access/caller-proof.js'
import { FakeNode, fakeTopology } from '../calls/fake-node.test-support.js'
import { testClock } from '../calls/services.test-support.js'
import { ClusterSecret } from '../tls/cluster-secret.js'
import { testApp } from './app.test-support.js'

test('what a node shows other nodes for a minute begins nothing over HTTP that would outlast that', async () => {
  using file = new TestAuthFile()
  const proof = new CallerProof(new ClusterSecret(Buffer.alloc(32, 7)), testClock)
  const fake = new FakeNode()
  fake.topology = fakeTopology(1)
  const { app, services } = testApp(fake, {}, (node, log) => {
    const audit = (): void => undefined
    return new AccessControl({ clock: testClock, log, audit, node, file: new AuthFile(file.path), proof })
  })
  const self = services.node()!.id
  const status = async (path: string, authorization: string): Promise<number> => {
    const response = await app.request(`http://kv.example:8080${path}`, { headers: { authorization } })
    await response.body?.cancel()
    return response.status
  }
  expect(services.access.identify(proof.show('fake', self))).toMatchObject({ source: 'node' })
  for (const path of ['/feed', '/cluster']) expect(await status(path, proof.show('fake', self))).toBe(401)
  expect(await status('/version', `Bearer ${file.token}`)).toBe(200)
  services.access.stop()
})
