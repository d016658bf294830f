import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { afterEach, expect, it } from 'vitest'
import { Health } from '../grpc/health.js'
import { CertificateFolder } from '../tls/certificates.test-support.js'
import { runHealth } from './health-command.js'

const ends: (() => void)[] = []
afterEach(() => {
  for (const end of ends.splice(0)) end()
})

async function listen(
  protection: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<{ health: Health; address: string }> {
  const server = new Server()
  const health = new Health(server)
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', protection, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  )
  ends.push(() => server.forceShutdown())
  return { health, address: `127.0.0.1:${port}` }
}

async function run(argv: readonly string[], environment: Record<string, string> = {}): Promise<[number, string]> {
  let printed = ''
  const out = (text: string): void => {
    printed += text
  }
  return [await runHealth(argv, environment, { out }), printed]
}

it('a node that serves is status 0, one that does not is status 1, and the environment names it as for the node', async () => {
  const { health, address } = await listen()
  expect(await run(['--addr', address])).toEqual([1, `${address}: not serving\n`])
  expect(await run(['--addr', address, '--alive'])).toEqual([0, `${address}: alive\n`])
  health.set(true)
  expect(await run(['--addr', address])).toEqual([0, `${address}: serving\n`])
  expect(await run(['--quiet'], { KV_ADDR: address })).toEqual([0, ''])
  // What listens on every interface is asked on this machine's own.
  expect(await run([], { KV_ADDR: address.replace('127.0.0.1', '0.0.0.0') })).toEqual([0, `${address}: serving\n`])
})

it('nobody there is status 1, and so is a server that never answers, within two seconds', async () => {
  expect((await run(['--addr', '127.0.0.1:1']))[0]).toBe(1)
  const silent = createServer()
  silent.on('stream', () => undefined)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  ends.push(() => void silent.close())
  const { port } = silent.address() as AddressInfo
  const [status, printed] = await run(['--addr', `127.0.0.1:${port}`])
  expect([status, printed]).toEqual([1, `127.0.0.1:${port}: no answer\n`])
})

it('--wait ends with the process that --pid names', async () => {
  const { health, address } = await listen()
  const child = spawn('sleep', ['60'])
  ends.push(() => void child.kill('SIGKILL'))
  await once(child, 'spawn')
  const waiting = run(['--addr', address, '--wait', '60s', '--pid', `${child.pid}`])
  child.kill('SIGKILL')
  expect(await waiting).toEqual([1, `${address}: process ${child.pid} has ended\n`])
  // One that runs is waited for.
  setTimeout(() => health.set(true), 300)
  expect((await run(['--addr', address, '--wait', '60s', '--pid', `${process.pid}`]))[0]).toBe(0)
})

it('--wait ends when the node serves', async () => {
  const { health, address } = await listen()
  const waiting = run(['--addr', address, '--wait', '20s'])
  setTimeout(() => health.set(true), 300)
  expect(await waiting).toEqual([0, `${address}: serving\n`])
})

it('asks over TLS as the node itself would: a certificate that is wanted is shown, another authority is not believed', async () => {
  using folder = await CertificateFolder.create()
  using others = await CertificateFolder.create()
  const { ca } = folder
  const { cert = '', key = '' } = await folder.node('n1')
  const pair = { cert_chain: readFileSync(cert), private_key: readFileSync(key) }
  const { health, address } = await listen(ServerCredentials.createSsl(readFileSync(ca), [pair], true))
  health.set(true)
  const serving = [0, `${address}: serving\n`]
  expect(await run(['--addr', address, '--tls-ca', ca, '--tls-cert', cert, '--tls-key', key])).toEqual(serving)
  expect(await run(['--addr', address], { KV_TLS_CA: ca, KV_TLS_CERT: cert, KV_TLS_KEY: key })).toEqual(serving)
  expect((await run(['--addr', address, '--tls-ca', others.ca, '--tls-cert', cert, '--tls-key', key]))[0]).toBe(1)
  expect((await run(['--addr', address, '--tls-ca', ca]))[0]).toBe(1)
  expect((await run(['--addr', address]))[0]).toBe(1)
})

it('refuses what is wrong: an address, a duration, a file that is not there', async () => {
  await expect(run(['--addr', 'nonsense'])).rejects.toThrow('--addr')
  await expect(run(['--wait', 'soon'])).rejects.toThrow('--wait')
  await expect(run([], { KV_TLS_CA: '/nowhere/ca.pem' })).rejects.toThrow('--tls-ca: cannot read /nowhere/ca.pem')
  expect((await run(['--help']))[1]).toContain('Tells whether a node serves')
})
