import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { checkFile } from './tidy-rules.js'

const root = fileURLToPath(new URL('..', import.meta.url))

function sourceFiles(): string[] {
  const list = ['ls-files', '--cached', '--others', '--exclude-standard', '-z', '--', '*.ts', '*.tsx', '*.mts']
  const names = execFileSync('git', list, { cwd: root, encoding: 'utf8' }).split('\0')
  // A file that was removed but not committed is still listed.
  return names.filter((name) => name !== '' && existsSync(`${root}/${name}`))
}

test('every source file keeps the rules of the house', { timeout: 120_000 }, () => {
  const files = sourceFiles()
  expect(files.length).toBeGreaterThan(100)
  const found = files.flatMap((file) => checkFile(file, readFileSync(`${root}/${file}`, 'utf8')))
  expect(found.map(({ file, line, message }) => `${file}:${line}: ${message}`)).toEqual([])
})

/** The messages about a planted text. */
function messages(file: string, text: string): string[] {
  return checkFile(file, text).map(({ message }) => message)
}

describe('layers of internal/', () => {
  const refused: [file: string, text: string, part: string][] = [
    ['internal/base/x.ts', "import { a } from '../env/index.js'", 'does not see internal/env'],
    ['internal/wal/x.ts', "import type { Store } from '../store/index.js'", 'does not see internal/store'],
    ['internal/wal/x.ts', "export { slotOf } from '../slots/index.js'", 'does not see internal/slots'],
    ['internal/wal/x.ts', "export type * from '../cluster/index.js'", 'does not see internal/cluster'],
    ['internal/wal/x.ts', "const a = await import('../store/index.js')", 'does not see internal/store'],
    ['internal/wal/x.ts', "type A = import('../store/index.js').Store", 'does not see internal/store'],
    ['internal/wal/x.ts', "import '../store/index.js'", 'does not see internal/store'],
    ['internal/hlc/x.ts', "import { readFully } from '../env/index.js'", 'does not see internal/env'],
    ['internal/hlc/x.ts', "import { type Clock, readFully } from '../env/index.js'", 'does not see internal/env'],
    ['internal/store/x.ts', "import { Log } from '../wal/log.js'", 'by its index.js'],
    ['internal/store/x.ts', "import { a } from '../../server/src/index.js'", 'leaves internal/'],
    ['internal/store/x.ts', "import grpc from '@grpc/grpc-js'", 'does not see @grpc/grpc-js'],
    [
      'internal/store/x.ts',
      "import type { A } from '@quorumkv/proto/kv/peer/v1/messages'",
      'does not see @quorumkv/proto',
    ],
    ['internal/cluster/x.ts', "import { A } from '@quorumkv/proto/kv/peer/v1/peer'", 'does not see @quorumkv/proto'],
    ['internal/cluster/x.ts', "import { A } from '@quorumkv/client'", 'does not see @quorumkv/client'],
    ['internal/env-sim/x.ts', "import { A } from '../store/index.js'", 'does not see internal/store'],
    ['internal/nowhere/x.ts', "import { assert } from '../base/index.js'", 'not in the table of layers'],
  ]
  test.each(refused)('%s: %s', (file, text, part) => {
    const found = messages(file, text)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(part)
  })

  const allowed: [file: string, text: string][] = [
    ['internal/wal/x.ts', "import { assert } from '../base/index.js'\nimport { a } from './frame.js'"],
    ['internal/hlc/x.ts', "import type { Clock } from '../env/index.js'"],
    ['internal/hlc/x.ts', "import { type Clock } from '../env/index.js'"],
    ['internal/cluster/x.ts', "import { Topology } from '@quorumkv/proto/kv/peer/v1/messages'"],
    ['internal/hash/x.ts', "import { crc32 } from 'node:zlib'"],
    ['internal/wal/x.test.ts', "import { SimDisk } from '../env-sim/index.js'"],
    ['internal/env/disk.conformance.ts', "import { mkdtemp } from 'node:fs/promises'"],
    ['internal/wal/x.ts', "// import { a } from '../store/index.js'\nconst text = \"import('../store/index.js')\""],
  ]
  test.each(allowed)('%s may: %s', (file, text) => {
    expect(messages(file, text)).toEqual([])
  })
})

describe('layers of the packages', () => {
  const refused: [file: string, text: string][] = [
    ['client-sdk/src/x.ts', "import { slotOf } from '@quorumkv/internal/slots'"],
    ['client-sdk/src/x.ts', "import { startNode } from '@quorumkv/server'"],
    ['client-sdk/src/x.ts', "import { murmur3_32 } from '../../internal/hash/index.js'"],
    ['client-sdk/cli/src/x.ts', "import { murmur3_32 } from '@quorumkv/internal/hash'"],
    ['client-sdk/cli/src/x.ts', "import { A } from '@quorumkv/proto/kv/v1/kv'"],
    ['client-sdk/cli/src/x.ts', "import { KvClient } from '../../src/client.js'"],
    ['client-sdk/cli/src/x.ts', "import { startNode } from '@quorumkv/server'"],
    ['client-sdk/keyv/src/x.ts', "import { startCluster } from '@quorumkv/testing'"],
    ['client-sdk/keyv/src/x.ts', "import { KvClient } from '../../src/client.js'"],
    ['tests/testing/src/x.ts', "import { eventually } from '../../fixtures.js'"],
    ['server/src/x.ts', "import { KvClient } from '@quorumkv/client'"],
    ['server/src/x.ts', "export * from '../../client-sdk/src/index.js'"],
  ]
  test.each(refused)('%s: %s', (file, text) => {
    expect(messages(file, text)).toHaveLength(1)
  })

  const allowed: [file: string, text: string][] = [
    ['client-sdk/src/x.ts', "import { murmur3_32 } from '@quorumkv/internal/hash'\nimport '@quorumkv/proto/kv/v1/kv'"],
    ['client-sdk/src/x.ts', "import grpc from '@grpc/grpc-js'\nimport { a } from './session.js'"],
    ['client-sdk/cli/src/x.ts', "import { KvClient } from '@quorumkv/client'\nimport { a } from '../output.js'"],
    ['client-sdk/cli/src/x.ts', "import { startLocalCluster } from '@quorumkv/server/local'"],
    [
      'client-sdk/keyv/src/x.ts',
      "import { KvClient } from '@quorumkv/client'\nimport { EventEmitter } from 'node:events'",
    ],
    ['client-sdk/keyv/src/x.test.ts', "import { startCluster } from '@quorumkv/testing'"],
    ['tests/testing/src/x.ts', "import '@quorumkv/server/local'\nimport { KvClient } from '@quorumkv/client'"],
    ['server/src/x.ts', "import { openStore } from '@quorumkv/internal/store'\nimport '@quorumkv/proto/kv/v1/kv'"],
    ['bench/src/x.ts', "import { KvClient } from '@quorumkv/client'\nimport '@quorumkv/internal/store'"],
    ['tests/e2e/x.ts', "import '../../server/src/index.js'"],
    ['client-sdk/src/x.test.ts', "import { startNode } from '@quorumkv/server'"],
  ]
  test.each(allowed)('%s may: %s', (file, text) => {
    expect(messages(file, text)).toEqual([])
  })
})

describe('the seams', () => {
  const refused: [text: string, part: string][] = [
    ['const a = Date.now()', 'Clock.wallMs'],
    ['const a = new Date()', 'Clock.wallMs'],
    ['const a: Date | undefined = undefined', 'Clock.wallMs'],
    ['const a = performance.now()', 'Clock.monotonicMs'],
    ['setTimeout(() => f(), 5)', 'Clock.setTimer'],
    ['globalThis.setTimeout(f, 5)', 'Clock.setTimer'],
    ['const later = setInterval', 'Clock.setTimer'],
    ['setImmediate(f)', 'Clock.defer'],
    ['queueMicrotask(f)', 'Clock.defer'],
    ['const a = { setImmediate }', 'Clock.defer'],
    ['const a = process.pid', 'composition root'],
    ['const a = Math.random()', 'Random'],
    ['const a = crypto.getRandomValues(b)', 'Random'],
    ["import { open } from 'node:fs/promises'", 'Disk'],
    ["import { open } from 'fs'", 'Disk'],
    ["import net from 'node:net'", 'Network'],
    ["import { randomBytes } from 'node:crypto'", 'Random'],
    ["import { setTimeout as sleep } from 'node:timers/promises'", 'Clock'],
    ["import { crc32 } from 'node:zlib'", 'nothing of Node'],
    ['function f(process: number) {}\nprocess.exit(1)', 'composition root'],
  ]
  test.each(refused)('%s', (text, part) => {
    const found = messages('internal/store/x.ts', text)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(part)
  })

  const allowed: string[] = [
    '// Date.now() and setTimeout are banned\nconst a = "Date.now()"',
    'const a = `process and Date`',
    'const process = world.process("a")\nprocess.crash()',
    'function f(process: Process) { return () => process.crash() }',
    'for (const process of all) process.crash()',
    'class A { process(): void {} }\na.process()',
    'interface A { readonly process: string; crypto: number }',
    'const a = { process: 1, Date: 2 }',
    'const { process: life } = world',
    'clock.setTimer(5, f)',
  ]
  test.each(allowed)('but not: %s', (text) => {
    expect(messages('internal/store/x.ts', text)).toEqual([])
  })

  test('the real machine and the tests may use it all', () => {
    const text = "import { open } from 'node:fs/promises'\nconst a = Date.now()"
    expect(messages('internal/env-node/disk.ts', text)).toEqual([])
    expect(messages('internal/store/x.test.ts', text)).toEqual([])
    expect(messages('server/src/x.ts', text)).toEqual([])
  })

  test('an exception is for one name in one file', () => {
    expect(messages('internal/env-sim/barrier.ts', 'setImmediate(f)')).toEqual([])
    expect(messages('internal/env-sim/barrier.ts', 'setTimeout(f, 1)')).toHaveLength(1)
    expect(messages('internal/env-sim/world.ts', 'setImmediate(f)')).toHaveLength(1)
  })
})

describe('code', () => {
  const refused: [text: string, part: string][] = [
    ['const a: any = 1', '`any`'],
    ['const a = b as any', '`any`'],
    ['function f(a: Record<string, any[]>) {}', '`any`'],
    ['try { f() } catch {}', 'swallows'],
    ['try { f() } catch (error) { /* never mind */ }', 'swallows'],
    ['f().catch(() => {})', 'swallows'],
    ['f().catch(function () {})', 'swallows'],
    ["test.only('a', () => {})", 'every test runs'],
    ["test.skip('a', () => {})", 'every test runs'],
    ["describe.concurrent.skip('a', () => {})", 'every test runs'],
    ["it.todo('a')", 'every test runs'],
    ["test('a', { skip: true }, () => {})", 'every test runs'],
    ['// TODO: finish\nconst a = 1', 'promises work'],
    ['/* FIXME later */ const a = 1', 'promises work'],
    ['const a = 1 // TODO', 'promises work'],
    ['if (a) {\n  f() /** TODO */\n}', 'promises work'],
  ]
  test.each(refused)('%s', (text, part) => {
    const found = messages('server/src/x.test.ts', text)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(part)
  })

  const allowed: string[] = [
    'const any = 1\nf(any)',
    "const a = 'any TODO: catch {}'",
    'try { f() } catch (error) { log(error) }',
    'f().catch(report)',
    'f().catch(() => undefined)',
    'list.skip(3)\nconst only = 1',
    "test('skip what is only to do', () => {})",
  ]
  test.each(allowed)('but not: %s', (text) => {
    expect(messages('server/src/x.test.ts', text)).toEqual([])
  })

  test('files end before they get long, tests a little later', () => {
    const lines = (count: number): string => 'const a = 1\n'.repeat(count)
    expect(messages('server/src/x.ts', lines(400))).toEqual([])
    expect(messages('server/src/x.ts', lines(401))).toEqual(['401 lines, more than 400: split the file'])
    expect(messages('server/src/x.test.ts', lines(600))).toEqual([])
    expect(messages('tests/fixtures.ts', lines(601))).toEqual(['601 lines, more than 600: split the file'])
  })

  test('the line is that of the fault', () => {
    const text = 'const a = 1\n\n  // fine\nconst b: any = 2\n// a comment\n// TODO'
    expect(checkFile('server/src/x.ts', text).map(({ line }) => line)).toEqual([4, 6])
  })
})
