import { mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { eventually, makeClient, makeTemporaryDirectory, runServer, startServer, TestServer } from '../fixtures.js'

describe('kv-server', () => {
  it('says --version and --help, and checks a configuration without starting', async () => {
    expect(await runServer(['--version'])).toMatchObject({ status: 0, output: 'kv-server 0.1.0\n' })
    expect(await runServer(['--help'])).toMatchObject({ status: 0, output: expect.stringContaining('--data-dir') })
    const dataDir = join(makeTemporaryDirectory(), 'unmade')
    expect(await runServer(['--check-config', '--data-dir', dataDir])).toMatchObject({ status: 0 })
    expect(() => statSync(dataDir)).toThrow('ENOENT')
  })

  it.each<[string[], Record<string, string>, string]>([
    [['--weight', 'heavy'], {}, '--weight'],
    [[], { KV_WEIGHT: 'heavy' }, 'KV_WEIGHT'],
    [['--tls-cert', 'x.pem'], {}, '--tls-cert'],
    [['--addr', '0.0.0.0:0'], {}, '--insecure'],
    [['--config', '/nowhere.yaml'], {}, '/nowhere.yaml'],
  ])('ends with 2 and names what is wrong: %j %j', async (argv, environment, named) => {
    const dataDir = join(makeTemporaryDirectory(), 'unmade')
    const run = await runServer([...argv, '--data-dir', dataDir], environment)
    expect(run.status).toBe(2)
    expect(run.output).toContain(named)
    expect(() => statSync(dataDir)).toThrow('ENOENT')
  })

  it('tells once that it is ready, with its id, its addresses and its cluster', async () => {
    await using server = new TestServer({ id: 'solo' })
    const line = await server.ready()
    expect(line).toMatchObject({ level: 'info', id: 'solo', addresses: [server.address] })
    expect(line['clusterId']).toMatch(/^[0-9a-f]{32}$/)
    expect(server.lines.filter(({ msg }) => msg === 'ready')).toHaveLength(1)
  })

  it('keeps its id and its cluster over a restart', async () => {
    await using server = new TestServer()
    const first = await server.ready()
    const second = await server.restart()
    expect([second['id'], second['clusterId']]).toEqual([first['id'], first['clusterId']])
  })

  it('ends with 2 where the port is in use, naming it', async () => {
    await using server = await startServer()
    const dataDir = join(makeTemporaryDirectory(), 'd')
    const run = await runServer(['--addr', server.address, '--data-dir', dataDir])
    expect(run.status).toBe(2)
    expect(run.output).toContain(server.address)
  })

  it('ends with 5 where another process has the data directory, naming its pid', async () => {
    await using server = await startServer()
    const run = await runServer(['--addr', server.address, '--data-dir', server.dataDir])
    expect(run.status).toBe(5)
    expect(run.output).toContain(`process ${server.pid}`)
    await server.restart()
  })

  it('ends with 2 where the directory is not its own, and leaves it alone', async () => {
    const dataDir = makeTemporaryDirectory()
    writeFileSync(join(dataDir, 'holiday.jpg'), '')
    const run = await runServer(['--addr', '127.0.0.1:0', '--data-dir', dataDir])
    expect(run.status).toBe(2)
    expect(run.output).toContain('holiday.jpg')
    expect(readdirSync(dataDir)).toEqual(['holiday.jpg'])
  })

  it('makes its directory for its owner only', async () => {
    const dataDir = join(makeTemporaryDirectory(), 'a', 'b')
    await using _server = await startServer({ dataDir })
    expect(statSync(dataDir).mode & 0o777).toBe(0o700)
  })

  it('ends with 3 where its log is damaged in the middle, naming the file', async () => {
    await using server = await startServer()
    await using client = makeClient([server.address])
    for (let i = 0; i < 20; i++) await client.put(`k${i}`, 'x'.repeat(100))
    await server.kill()
    const logs = join(server.dataDir, 'log')
    const [segment] = readdirSync(logs)
    const path = join(logs, segment!)
    // Inside the first frame, with valid ones behind it: no crash leaves that.
    const at = readFileSync(path).indexOf('x'.repeat(100))
    const file = openSync(path, 'r+')
    writeSync(file, Buffer.from('y'), 0, 1, at + 10)
    server.start()
    expect(await server.exited).toMatchObject({ status: 3 })
    expect(JSON.stringify(server.lines)).toContain(segment)
  })

  it('ends with 3 where the file that says whose data it is, is missing', async () => {
    const dataDir = makeTemporaryDirectory()
    mkdirSync(join(dataDir, 'log'))
    writeFileSync(join(dataDir, 'store'), '')
    expect(await runServer(['--addr', '127.0.0.1:0', '--data-dir', dataDir])).toMatchObject({ status: 3 })
  })

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'ends with 0 at %s while writes run, and loses none of them',
    async (name) => {
      await using server = await startServer()
      await using client = makeClient([server.address], { timeoutMs: 2_000 })
      const acknowledged = new Set<string>()
      const attempts = Array.from({ length: 200 }, async (_, i) => {
        await client.put(`k${i}`, 'v')
        acknowledged.add(`k${i}`)
      })
      const settled = Promise.allSettled(attempts)
      await eventually('the first is acknowledged', () => acknowledged.size > 0)
      server.signal(name)
      expect(await server.exited).toEqual({ status: 0, signal: null })
      await settled
      server.start()
      await server.ready()
      for (const key of acknowledged) expect(await client.get(key)).toBe('v')
    },
  )

  it('is told to stop while it waits for its peers, and ends with 0', async () => {
    await using server = new TestServer({ peers: ['127.0.0.1:1', '127.0.0.1:2'] })
    await eventually('it listens', () => server.lines.some(({ msg }) => msg === 'listening'))
    expect(await server.stop()).toEqual({ status: 0, signal: null })
    expect(server.lines.some(({ msg }) => msg === 'ready')).toBe(false)
  })

  it('a second signal does not wait', async () => {
    await using server = await startServer()
    server.signal('SIGTERM')
    server.signal('SIGINT')
    const { status, signal } = await server.exited
    // The first may have been done by the time that the second came.
    expect([0, 128 + 2, 128 + 15]).toContain(status)
    expect(signal).toBeNull()
  })
})
