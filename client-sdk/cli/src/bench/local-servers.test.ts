import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, it } from 'vitest'
import { localServerUsage, parseListeners } from './local-servers.js'

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:C383 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 27146 1 0 100 0 0 10 0
   1: 0100007F:C384 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 27147 1 0 100 0 0 10 0
   2: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 99 1 0
`

it('who listens is told from who is connected, by port and socket, of either family', () => {
  expect(parseListeners(table)).toEqual(
    new Map([
      [50051, '27146'],
      [22, '99'],
    ]),
  )
})

it('nothing is said of servers elsewhere, nor of addresses that are none', async () => {
  for (const address of ['192.0.2.1:50051', 'kv.example:50051', 'localhost', '']) {
    expect(await (await localServerUsage([{ id: 'n1', address }]))()).toEqual([])
  }
})

it('whoever listens at an address is not taken for the server that is reached through it', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  try {
    expect(await (await localServerUsage([{ id: 'n1', address }]))()).toEqual([])
  } finally {
    server.close()
  }
})
