import { createRequire } from 'node:module'
import { ServerCredentials } from '@grpc/grpc-js'
import { limits } from '@quorumkv/internal/base'
import { silentLog } from '@quorumkv/internal/env'
import { afterEach, describe, expect, it } from 'vitest'
import { GuardedServer } from '../access/guarded-server.js'
import { eventually, openAccess } from '../calls/services.test-support.js'
import { RawFrames, RawHttp2 } from '../limits/raw-http2.test-support.js'
import { type ConnectionTimes, serverOptions } from './grpc-options.js'

const servers: GuardedServer[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.forceShutdown()
    server.guard.stop()
  }
})

/** A server that serves nothing, and its address. */
async function start(times: Partial<ConnectionTimes>): Promise<string> {
  const server = new GuardedServer(serverOptions({ ...limits, ...times }), openAccess, {}, { log: silentLog })
  servers.push(server)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  return `127.0.0.1:${port}`
}

/** How long until it is closed. */
async function lifeOf(connection: { readonly closed: boolean }): Promise<number> {
  const beginMs = performance.now()
  await eventually('it is closed', () => connection.closed)
  return performance.now() - beginMs
}

describe('a connection', () => {
  it('whose other end answers no pings is closed when it was asked and has had its time; one that answers stays', async () => {
    const address = await start({ keepaliveTimeMs: 200, keepaliveTimeoutMs: 150 })
    using answers = new RawHttp2(address)
    let asked = 0
    answers.session.on('ping', () => asked++)
    using deaf = new RawFrames(address)
    expect(await lifeOf(deaf)).toBeGreaterThan(300)
    await eventually('the other is asked again', () => asked >= 3)
    expect(answers.closed).toBe(false)
  })

  it('on which nothing is called is closed when it has been idle for long enough', async () => {
    const address = await start({ connectionIdleMs: 300 })
    using idle = new RawHttp2(address)
    using stays = new RawHttp2(await start({}))
    expect(await lifeOf(idle)).toBeGreaterThan(250)
    expect(stays.closed).toBe(false)
  })
})

it('the library is the version whose inner parts GuardedServer uses', () => {
  const require = createRequire(import.meta.url)
  const { version } = require('@grpc/grpc-js/package.json') as { version: string }
  const { dependencies } = require('../../package.json') as { dependencies: Record<string, string> }
  // With another version: read Server#createHttp2Server and `commonServerOptions` in its build/src/server.js, see that each server it makes
  // still comes from there, that it keeps to the listeners of 'stream' and 'connection' that stand by then, and that the tests in
  // server/src/limits pass on all versions of Node.js that we support. Then write its version here and in server/package.json.
  expect([version, dependencies['@grpc/grpc-js']]).toEqual(['1.14.7', '1.14.7'])
})
