import { describe, expect, it } from 'vitest'
import { FakeClient, FakeIo, fault } from './fakes.test-support.js'
import { run } from './program.js'

const terminal = { terminal: true }

/** The exit status of a command line. */
async function statusOf(args: readonly string[], client = new FakeClient()): Promise<number> {
  return await run(args, new FakeIo({ timing: client.timing }), () => client)
}

describe('status --watch', () => {
  it('prints a line each time where nobody looks, also while nobody answers, and ends with Ctrl-C and status 0', async () => {
    const client = new FakeClient()
    const io = new FakeIo({ timing: client.timing })
    let times = 0
    const status = client.status.bind(client)
    client.status = async () => {
      times += 1
      if (times === 3) io.interrupt()
      if (times === 2) throw fault('unavailable')
      return await status()
    }
    expect(await run(['status', '--watch', '--interval', '5s'], io, () => client)).toBe(0)
    const lines = io.stdout.text.split('\n')
    expect(lines[0]).toMatch(/^2023-.*Z epoch 7, 2 of 3 alive, node-3 dead, keys node-1 0 node-2 0$/)
    expect(lines[1]).toContain('nobody answers: made to fail')
    expect(lines).toHaveLength(3)
    expect(client.timing.sleeps).toEqual([5_000, 5_000])
    expect(io.interruptHandlers).toBe(0)
  })

  it('tells operations a second from the second look on, of each member that tells them', async () => {
    const client = new FakeClient()
    const io = new FakeIo({ timing: client.timing })
    const { operator } = client
    const status = client.status.bind(client)
    let times = 0
    client.status = async () => {
      times += 1
      operator.uptimeMs += 2_000
      operator.load = times === 3 ? undefined : 1_500
      if (times === 6) io.interrupt()
      return await status()
    }
    expect(await run(['status', '--watch'], io, () => client)).toBe(0)
    const lines = io.stdout.text.trimEnd().split('\n')
    // Told first, known, not told, told anew, known.
    const known = 'ops/s node-1 1,500 node-2 1,500'
    expect(lines.map((line) => line.match(/ops.*/)?.[0])).toEqual([undefined, known, undefined, undefined, known])
  })

  it('where a terminal does not know its size it prints whole lines', async () => {
    const client = new FakeClient()
    const io = new FakeIo({ timing: client.timing, terminal: true, columns: 0 })
    const status = client.status.bind(client)
    let times = 0
    client.status = async () => {
      if (++times === 2) io.interrupt()
      return await status()
    }
    expect(await run(['status', '--watch'], io, () => client)).toBe(0)
    expect(io.stdout.text).toContain('node-3 dead, keys node-1 0 node-2 0')
  })

  it('tells a program what is not known, too', async () => {
    const client = new FakeClient()
    const io = new FakeIo({ timing: client.timing })
    const status = client.status.bind(client)
    let times = 0
    client.status = async () => {
      client.operator.load = 2
      client.operator.uptimeMs += 1_000
      if (++times === 3) io.interrupt()
      return await status()
    }
    expect(await run(['--json', 'status', '--watch'], io, () => client)).toBe(0)
    const told = io.stdout.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).operationsPerSecond)
    expect(told).toEqual([
      { 'node-1': null, 'node-2': null },
      { 'node-1': 2, 'node-2': 2 },
    ])
  })

  it('redraws in place on a terminal, and shows the cursor again when it ends', async () => {
    const client = new FakeClient()
    const io = new FakeIo({ timing: client.timing, ...terminal })
    let times = 0
    const status = client.status.bind(client)
    client.status = async () => {
      times += 1
      if (times === 3) io.interrupt()
      return await status()
    }
    expect(await run(['status', '--watch'], io, () => client)).toBe(0)
    const [hidden, first, second, shown] = io.stdout.chunks.map(String)
    expect([hidden, shown]).toEqual(['\x1b[?25l', '\x1b[?25h'])
    expect(second).toContain(`\x1b[${first!.split('\n').length - 1}A`)
  })

  it('does not go on where the cluster would never answer', async () => {
    const client = new FakeClient()
    client.fault = fault('unauthenticated')
    expect(await statusOf(['status', '--watch'], client)).toBe(1)
    expect(await statusOf(['status', '--interval', '1s'])).toBe(2)
    expect(await statusOf(['status', '--watch', '--interval', '1ms'])).toBe(2)
  })
})
