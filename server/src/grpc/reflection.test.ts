import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, credentials, status } from '@grpc/grpc-js'
import { afterAll, expect, test } from 'vitest'
import { startNode } from '../index.js'

const root = mkdtempSync(join(tmpdir(), 'kv-reflection-'))
afterAll(() => rmSync(root, { recursive: true }))

const bytes = (message: Buffer): Buffer => message

/** One request to the reflection service of a version, and its reply, both as bytes. */
function ask(address: string, version: 'v1' | 'v1alpha', request: Buffer): Promise<Buffer> {
  const client = new Client(address, credentials.createInsecure())
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`
  const call = client.makeBidiStreamRequest(path, bytes, bytes)
  return new Promise<Buffer>((resolve, reject) => {
    call.on('data', resolve)
    call.on('error', reject)
    call.write(request)
    call.end()
  }).finally(() => client.close())
}

/** A ServerReflectionRequest of one field of text: `file_containing_symbol` (4) or `list_services` (7). */
function request(field: 4 | 7, text: string): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2, text.length]), Buffer.from(text)])
}

test('clients may ask which calls there are, where the node is told to say so', async () => {
  await using node = await startNode({ addr: '127.0.0.1:0', dataDir: join(root, 'a'), reflection: true })
  for (const version of ['v1', 'v1alpha'] as const) {
    const services = (await ask(node.address, version, request(7, ''))).toString('latin1')
    for (const name of ['kv.v1.Kv', 'kv.v1.Cluster', 'grpc.health.v1.Health']) expect(services).toContain(name)
    // What nodes say to each other is nobody else's business.
    expect(services).not.toContain('kv.peer')
  }
  const files = (await ask(node.address, 'v1', request(4, 'kv.v1.Cluster'))).toString('latin1')
  for (const part of ['kv/v1/cluster.proto', 'kv/v1/kv.proto', 'FiguresResponse', 'previous_unknown']) {
    expect(files).toContain(part)
  }
})

test('and are told nothing unless it is', async () => {
  await using node = await startNode({ addr: '127.0.0.1:0', dataDir: join(root, 'b') })
  await expect(ask(node.address, 'v1', request(7, ''))).rejects.toMatchObject({ code: status.UNIMPLEMENTED })
})
