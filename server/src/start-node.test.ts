import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, credentials } from '@grpc/grpc-js'
import { type Clock, silentLog } from '@quorumkv/internal/env'
import { Consistency, type GetResponse, KvClient, type PutResponse } from '@quorumkv/proto/kv/v1/kv'
import { afterAll, describe, expect, it } from 'vitest'
import { entry, expiringEntry, TestAuthFile } from './access/access.test-support.js'
import { eventually, type LogLine, recordingLog, reply } from './calls/services.test-support.js'
import { programSource, resolveConfig } from './config/config.js'
import { startNode } from './index.js'
import { thisMachine } from './machine.js'
import { startConfiguredNode } from './start-node.js'
import { CertificateFolder } from './tls/certificates.test-support.js'

const root = mkdtempSync(join(tmpdir(), 'kv-node-'))
afterAll(() => rmSync(root, { recursive: true }))

let count = 0
const fresh = (): string => join(root, String(++count))
const key = Buffer.from('k')
const consistency = Consistency.QUORUM

describe('a node inside a program', () => {
  it('serves, stops, and has kept everything when it is started again', async () => {
    const dataDir = fresh()
    const first = await startNode({ addr: '127.0.0.1:0', dataDir, replicationFactor: 1, snapshotInterval: 60_000 })
    await first.ready
    expect(first.clusterId).toMatch(/^[0-9a-f]{32}$/)
    expect(first.addresses).toEqual([first.address])
    const put = { key, value: Buffer.from('v'), consistency, returnPrevious: false }
    const one = new KvClient(first.address, credentials.createInsecure())
    await reply<PutResponse>((done) => one.put(put, done))
    one.close()
    await first.stop()
    await first.stop()

    await using second = await startNode({ addr: '127.0.0.1:0', dataDir, replicationFactor: 1 })
    await second.ready
    expect([second.id, second.clusterId]).toEqual([first.id, first.clusterId])
    const two = new KvClient(second.address, credentials.createInsecure())
    const read = await reply<GetResponse>((done) => two.get({ key, consistency }, done))
    expect(read.value.toString()).toBe('v')
    two.close()
  })

  it('a setting that is wrong is named, and nothing is touched', async () => {
    const dataDir = fresh()
    const wrong = startNode({ addr: '127.0.0.1:0', dataDir, weight: 0 })
    await expect(wrong).rejects.toMatchObject({ code: 'invalid-argument', field: 'weight' })
    await (await startNode({ addr: '127.0.0.1:0', dataDir })).stop()
  })

  it('a port in use gives the data directory free again', async () => {
    await using node = await startNode({ addr: '127.0.0.1:0', dataDir: fresh() })
    const dataDir = fresh()
    await expect(startNode({ addr: node.address, dataDir })).rejects.toMatchObject({ reason: 'usage' })
    await (await startNode({ addr: '127.0.0.1:0', dataDir })).stop()
  })

  it('that does not come about leaves no timer and nothing open behind', async () => {
    using folder = await CertificateFolder.create()
    using file = new TestAuthFile()
    const { cert, key, ca } = await folder.node('n1')
    const settings = {
      addr: '127.0.0.1:0',
      dataDir: fresh(),
      tlsCert: cert,
      tlsKey: key,
      tlsCa: ca,
      authFile: file.path,
    }
    const config = resolveConfig([programSource(settings)])
    const machine = thisMachine(config)
    const waiting = new Set<object>()
    const setTimer: Clock['setTimer'] = (delayMs, fire) => {
      const timer = machine.clock.setTimer(delayMs, () => {
        waiting.delete(timer)
        fire()
      })
      const { cancel } = timer
      waiting.add(timer)
      return Object.assign(timer, {
        cancel: () => {
          waiting.delete(timer)
          cancel.call(timer)
        },
      })
    }
    const { clock } = machine
    const watched: Clock = {
      wallMs: () => clock.wallMs(),
      monotonicMs: () => clock.monotonicMs(),
      defer: (task) => clock.defer(task),
      setTimer,
    }
    const start = () => startConfiguredNode(config, silentLog, () => undefined, { ...machine, clock: watched })
    file.write(expiringEntry(file.token, Date.now() - 1))
    await expect(start()).rejects.toMatchObject({ reason: 'usage', message: expect.stringContaining('has expired') })
    expect(waiting.size).toBe(0)
    file.write(entry(file.token))
    const node = await start()
    expect(waiting.size).toBeGreaterThan(0)
    await node.stop()
    expect(waiting.size).toBe(0)
  })

  it('answers over HTTP where it is told to, and not after it has stopped', async () => {
    const httpAddr = '127.0.0.1:0'
    const node = await startNode({ addr: '127.0.0.1:0', httpAddr, dataDir: fresh(), replicationFactor: 1 })
    await node.ready
    const [address] = node.httpAddresses
    const url = `http://${address}/kv/k`
    expect((await fetch(url, { method: 'PUT', body: Uint8Array.of(118) })).status).toBe(200)
    expect(await (await fetch(url)).json()).toMatchObject({ found: true, value: 'v', nodeId: node.id })
    const dataDir = fresh()
    const inUse = startNode({ addr: '127.0.0.1:0', httpAddr: address, dataDir })
    await expect(inUse).rejects.toMatchObject({ reason: 'usage', message: expect.stringContaining(address!) })
    await using other = await startNode({ addr: '127.0.0.1:0', dataDir })
    expect(other.httpAddresses).toEqual([])
    await node.stop()
    await expect(fetch(url)).rejects.toThrow()
  })

  it('one that is stopped before it was ready says so to whoever waits', async () => {
    const node = await startNode({ addr: '127.0.0.1:0', dataDir: fresh(), peers: ['127.0.0.1:1'] })
    await node.stop()
    await expect(node.ready).rejects.toMatchObject({ code: 'closed' })
  })

  it('every interface is told to others by the name of the machine', async () => {
    const lines: LogLine[] = []
    const log = recordingLog(lines)
    await using node = await startNode({ addr: '0.0.0.0:0', insecure: true, dataDir: fresh(), log })
    expect(node.address).not.toContain('0.0.0.0')
    expect(lines.some(({ facts }) => facts['address'] === node.address)).toBe(true)
  })

  it('its health is SERVING when it is ready, and watching it does not keep it from stopping', async () => {
    const node = await startNode({ addr: '127.0.0.1:0', dataDir: fresh(), replicationFactor: 1 })
    await node.ready
    const client = new Client(node.address, credentials.createInsecure())
    const same = (bytes: Buffer): Buffer => bytes
    const service = Buffer.from('\x0a\x08kv.v1.Kv', 'latin1')
    const watch = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', same, same, service)
    const states: string[] = []
    watch.on('data', (bytes: Buffer) => states.push(bytes.toString('hex')))
    watch.on('error', () => undefined)
    await eventually('SERVING', () => states.includes('0801'))
    const startMs = performance.now()
    await node.stop()
    expect(performance.now() - startMs).toBeLessThan(6_000)
    expect(states).toEqual(['0801', '0802'])
    client.close()
  })
})
