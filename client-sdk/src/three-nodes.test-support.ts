import { afterEach, beforeEach } from 'vitest'
import { KvClient } from './index.js'
import { FakeCluster } from './session/fake-server.test-support.js'

/** Three nodes that only seem to be ones, anew for each test of a file that calls `startThreeNodes`. */
export let cluster: FakeCluster
/** A client of all of them; closed after the test. */
export let client: KvClient

/** To be called once, at the top of a file of tests. */
export function startThreeNodes(): void {
  beforeEach(async () => {
    cluster = await FakeCluster.start(3)
    client = new KvClient({ endpoints: cluster.endpoints })
  })

  afterEach(async () => {
    await client.close()
    cluster.stop()
  })
}
