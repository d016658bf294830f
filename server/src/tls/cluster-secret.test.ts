import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvError } from '@quorumkv/internal/base'
import { afterAll, expect, it } from 'vitest'
import { ClusterSecret } from './cluster-secret.js'

const directory = mkdtempSync(join(tmpdir(), 'kv-secret-'))
const path = join(directory, 'secret')

afterAll(() => rmSync(directory, { recursive: true, force: true }))

function read(content: string | Buffer): Promise<ClusterSecret> {
  writeFileSync(path, content, { mode: 0o600 })
  return ClusterSecret.read(path)
}

it.each([
  ['one byte', 's'.repeat(64), /fewer than 8 different bytes/],
  ['zeroes', Buffer.alloc(48), /fewer than 8 different bytes/],
  ['a word again and again', 'Changeme1'.repeat(4), /the same again and again/],
  ['most of a word again and again', 'Changeme1'.repeat(4).slice(0, 34), /the same again and again/],
  ['a sentence', 'Correct Horse 1 Battery Staple 22 And So On', /words/],
  ['a word', 'this-is-the-secret-of-our-cluster', /letters of one case/],
  ['a number', '31415926535897932384626433832795028', /letters of one case, or digits/],
  ['a few bytes', 'kJ8s0dfh3', /must hold 32 to 4096 bytes, and has 9/],
])('a secret that is evidently not random is refused: %s', async (_what, content, says) => {
  const error = await read(content).then(
    () => expect.unreachable('taken'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KvError)
  expect(error).toMatchObject({
    code: 'invalid-argument',
    field: 'cluster-secret-file',
    message: expect.stringMatching(says),
  })
  if (content.length > 9) expect((error as KvError).message).not.toContain(String(content).trim())
})

it('secrets that are random are taken, however they are written', async () => {
  for (let i = 0; i < 200; i++) {
    await read(randomBytes(32).toString('base64'))
    await read(`${randomBytes(32).toString('base64url')}\n`)
    await read(`${randomBytes(32).toString('hex')}\r\n`)
    await read(randomBytes(48))
  }
})
