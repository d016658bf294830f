import { afterEach, beforeEach } from 'vitest'
import { FakeCluster } from './fake-server.test-support.js'
import { KvClient } from './index.js'

/** Three nodes that only seem to be ones, anew for each test of the file that imports them. */
export let cluster: FakeCluster
/** A client of all of them; closed after the test. */
export let client: KvClient

beforeEach(async () => {
  cluster = await FakeCluster.start(3)
  client = new KvClient({ endpoints: cluster.endpoints })
})

afterEach(async () => {
  await client.close()
  cluster.stop()
})
