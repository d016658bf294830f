import { keyvApiTests, keyvIteratorTests, keyvNamespaceTest, keyvValueTests } from '@keyv/test-suite'
import type { KvClient } from '@quorumkv/client'
import { type Cluster, startCluster } from '@quorumkv/testing'
import Keyv from 'keyv'
import * as test from 'vitest'
import { KeyvQuorumKv } from './index.js'

// What every store of Keyv must do, against a real node. The suite defines its own tests, and clears the store before and
// after each of them, all of its parts for each test unless they are kept apart.

let cluster: Cluster
let client: KvClient

test.beforeAll(async () => {
  cluster = await startCluster({ nodes: 1 })
  client = cluster.client()
})

test.afterAll(() => cluster.close())

for (const define of [keyvApiTests, keyvValueTests, keyvNamespaceTest, keyvIteratorTests]) {
  test.describe(define.name, () => define(test, Keyv, () => new KeyvQuorumKv(client)))
}
