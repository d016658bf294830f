import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { parseCommandLine } from '../config/flags.js'
import { doors, limitsText, limitText } from './table.js'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const pageFile = `${root}docs/limits.md`

const tables = doors.map(({ title, limits }) => {
  const rows = limits.map(({ name, holds, flag, code, test }) => {
    const what = flag === undefined ? holds : `${holds}; \`${flag}\``
    return `| \`${name}\` | ${limitText(name)} | ${what} | \`${code}\` | \`${test}\` |`
  })
  const head =
    '| limit | value | what it bounds, and what comes of it | where it is held | test |\n| --- | --- | --- | --- | --- |'
  return `## ${title}\n\n${head}\n${rows.join('\n')}\n`
})

const page = `# Limits

What a caller can make a node do is bounded at every door. What can never fit is \`invalid-argument\`, and what may fit later is
\`overloaded\`; where the library below ends a call or a connection before there is anybody to answer, it is reset or closed. All
values stand in \`internal/base/limits.ts\`; \`kv-server limits\` prints them. \`server/src/limits/table.test.ts\` writes this page
(\`KV_WRITE_TABLES=1\`).

Messages of gRPC must not be compressed: a few kilobytes would become megabytes. Such a call ends with \`UNIMPLEMENTED\`.

Of how fast streams may be reset and how many frames a block of headers may have (CVE-2023-44487, CVE-2024-27983), the HTTP/2
library in Node has bounds of its own: a connection that resets more than 1,000 streams at once, or more than 33 in a
second for long, is closed, and so is one whose headers come in more than eight pieces.

\`/metrics\` tells who is there and who was shown out: \`kv_connections\`, \`kv_connections_refused_total\`, \`kv_calls\`,
\`kv_received_bytes\` (of messages that have not come to their end) and \`kv_slow_peers_cut_total\`. What a node
does when somebody comes to all of this on purpose is what \`npm run test:flood\` tries on real nodes.

${tables.join('\n')}
## Rates

\`--rate-limit\` and \`--byte-rate-limit\` bound what one principal may ask of one node in a second: operations, and bytes of keys and
values either way. Both are off unless they are given. An entry of \`--auth-file\` may say otherwise with
\`operationsPerSecond\` and \`bytesPerSecond\`; 0 is as much as it wants. Where nobody is asked who they are, all callers are one. A
principal has one second in hand when it has been quiet. What comes too early is \`overloaded\`, certainly not applied, and says when
to come again: in its message, as \`grpc-retry-pushback-ms\` in the trailers of a call, as \`Retry-After\` over HTTP. A result of a
session says it in its message alone, of each operation that came too early; the session goes on. Each page of a scan or of a backup
is one operation, and each record that is restored is one. \`kv backup\` comes again when it is told to, so at a low rate a backup and a restore take
long and do not fail. Where nobody is asked who they are, they take from what all callers have together: \`kv node stream-rate\` keeps them below that.
`

it('docs/limits.md has these tables', () => {
  if (process.env['KV_WRITE_TABLES'] === '1') writeFileSync(pageFile, page)
  expect(readFileSync(pageFile, 'utf8')).toBe(page)
})

it('each limit has the code and the test that it is said to have', () => {
  for (const { name, code, test } of doors.flatMap(({ limits }) => limits)) {
    expect([name, existsSync(root + code), existsSync(root + test)]).toEqual([name, true, true])
  }
})

it('kv-server limits prints each of them with its value, and --help says which can be set', async () => {
  const text = limitsText()
  const help = await parseCommandLine(['--help'], {})
  for (const { name, flag } of doors.flatMap(({ limits }) => limits)) {
    expect(text).toContain(name)
    expect(text).toContain(limitText(name))
    if (flag !== undefined) expect(help).toMatchObject({ text: expect.stringContaining(flag) })
  }
})
