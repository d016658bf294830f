import { readFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { silentLog } from '@quorumkv/internal/env'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { FakeNode } from '../calls/fake-node.test-support.js'
import { eventually, openAccess, testClock } from '../calls/services.test-support.js'
import { GrpcHost } from '../grpc/grpc-host.js'
import { testApp } from '../http/app.test-support.js'
import { HttpHost } from '../http/http-host.js'
import { Certificates } from '../tls/certificates.js'
import { CertificateFolder } from '../tls/certificates.test-support.js'
import { blindTrust } from '../tls/link-trust.js'
import type { ServerTls } from '../tls/server-credentials.js'
import { TlsDoor } from '../tls/tls-door.js'

let folder: CertificateFolder
let tls: ServerTls

beforeAll(async () => {
  folder = await CertificateFolder.create()
  const certificates = await Certificates.open({ files: await folder.node('n1'), clock: testClock, log: silentLog })
  tls = { certificates, requireClientCert: false, door: new TlsDoor({ clock: testClock, log: silentLog }) }
})

afterAll(() => {
  tls.certificates.close()
  tls.door.close()
  folder[Symbol.dispose]()
})

/** One that connects, and says nothing: the handshake does not begin. */
function quiet(port: number): Socket {
  return connectTcp(port, '127.0.0.1').on('error', () => undefined)
}

const portOf = ([address]: readonly string[]): number => Number(address!.split(':')[1])
const anyPort = [{ host: '127.0.0.1', port: 0, optional: false }]

it('connections that do not come to the end of a handshake hold a place only until another wants it', async () => {
  const host = new GrpcHost(silentLog, () => undefined, openAccess, { tls, trust: blindTrust }, { connectionsMax: 2 })
  const port = portOf(await host.bind(anyPort))
  const sockets = [quiet(port), quiet(port)]
  try {
    await eventually('they hold all places', () => host.guard.gate.open === 2)
    const caller = connectTls({ host: '127.0.0.1', port, ca: readFileSync(folder.ca), ALPNProtocols: ['h2'] })
    sockets.push(caller)
    await new Promise((resolve, reject) => caller.once('secureConnect', resolve).once('error', reject))
    await eventually('one has made room', () => host.guard.gate.open === 2)
    expect(host.read()).toMatchObject({ refused: 0, handshakesFailed: 0 })
  } finally {
    for (const socket of sockets) socket.destroy()
    await host.stop(100)
  }
})

it('a handshake that does not end is not waited for longer than requests when HTTP stops', async () => {
  const { app, services } = testApp(new FakeNode())
  const host = new HttpHost(app, services.log, services.onBug, { tls })
  const socket = quiet(portOf(await host.bind(anyPort)))
  await eventually('it has come', () => host.read().connections === 1)
  const beganMs = performance.now()
  await host.stop(50)
  // Handshakes have 10 s.
  expect(performance.now() - beganMs).toBeLessThan(5_000)
  socket.destroy()
})
