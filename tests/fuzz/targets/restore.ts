import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeDisk } from '@quorumkv/internal/env-node'
import { decodeDocument, encodeDocument } from '@quorumkv/internal/store'
import { FakeCluster, record } from '../../../client-sdk/cli/src/backup/backup.test-support.js'
import { FakeIo } from '../../../client-sdk/cli/src/fakes.test-support.js'
import { run } from '../../../client-sdk/cli/src/program.js'
import { make } from '../../../internal/backup/backup.test-support.js'
import { concat, mutate } from '../mutate.js'
import { Fault, type Target } from '../target.js'

/** One record of more bytes than a request takes: what lies before and behind it is brought by requests of its own. */
const largeBytes = 530_000

/**
 * A directory with a backup, of which one file is another, and `kv backup restore`. It brings all of the backup, or nothing and
 * says so. Manifests come with a checksum that fits half of the time: what such a one says is what the backup is.
 */
export const backupRestore: Target = {
  name: 'backup-restore',
  share: 1,
  bytesPerByteMax: 40_000,
  async open() {
    const path = mkdtempSync(join(tmpdir(), 'quorumkv-fuzz-'))
    const records = [
      ...Array.from({ length: 9 }, (_, i) => record(`key ${i}`, `value ${i}`, 1_000 + i)),
      record('gone', undefined),
    ]
    await make(new NodeDisk(path), 1, [...records, record('large', 'v'.repeat(largeBytes))], { segmentBytes: 200 })
    const files = readdirSync(path).map((name) => ({ name, bytes: readFileSync(join(path, name)) }))
    const small = files.filter(({ bytes }) => bytes.length < largeBytes)
    const expected = records.length + 1
    return {
      make: (random) => {
        const at =
          random.below(4) === 0 ? small.findIndex(({ name }) => name.endsWith('.manifest')) : random.below(small.length)
        const { name, bytes } = small[at]!
        const isSealed = name.endsWith('.manifest') && random.chance(0.5)
        const other = isSealed
          ? encodeDocument(mutate(random, [decodeDocument(bytes) as Uint8Array]))
          : mutate(random, [bytes])
        return concat(Uint8Array.of(at), other)
      },
      run: async (input) => {
        const { name, bytes } = small[(input[0] ?? 0) % small.length]!
        const file = join(path, name)
        writeFileSync(file, input.subarray(1))
        const cluster = new FakeCluster()
        const io = new FakeIo({ timing: cluster.timing })
        try {
          const status = await run(['backup', 'restore', path, '--yes', '--no-progress'], io, () => cluster)
          const restored = cluster.restored.reduce((sum, batch) => sum + batch.length, 0)
          if (status === 1 || status === 2) {
            if (restored > 0) throw new Fault(`${restored} records were restored: ${io.stderr.text}`)
            return 'refused'
          }
          if (status !== 0) throw new Fault(`exit status ${status}: ${io.stderr.text}`)
          if (restored !== expected && !name.endsWith('.manifest'))
            throw new Fault(`${restored} records of ${expected}`)
          return 'taken'
        } finally {
          writeFileSync(file, bytes)
        }
      },
      close: async () => rmSync(path, { recursive: true }),
    }
  },
}
