import { FatalError, KvError } from '@quorumkv/internal/base'
import { UsageError } from '../../../client-sdk/cli/src/exit.js'
import { WordReader } from '../../../client-sdk/cli/src/shell/words.js'
import { parseCommandLine } from '../../../server/src/config/flags.js'
import { environmentName, settingNames } from '../../../server/src/config/settings.js'
import { mutateText } from '../mutate.js'
import { Fault, refusedBy, refusedLaterBy, type Target } from '../target.js'

const promised = (error: unknown): boolean =>
  (error instanceof FatalError && error.reason === 'usage') ||
  (error instanceof KvError && error.code === 'invalid-argument')

const words = [
  '--',
  '-',
  '=',
  '--no-',
  '--help',
  '\0',
  '--id',
  '--peers',
  '9'.repeat(20),
  '__proto__',
  '@',
  '"',
  '\\x',
  '<<E',
]

/** Command lines of `kv-server`, a word a line, and variables of its environment behind an empty one. No file is read. */
export const commandLine: Target = {
  name: 'command-line',
  share: 3,
  bytesPerByteMax: 10_000,
  async open() {
    const corpus = [
      '--addr\n:50051\n--data-dir\n./a\n--peers\nn1@localhost:1,n2@localhost:2\n--id\nn1',
      '--snapshot-interval=5m\n--snapshot-wal-bytes=64MiB\n--fsync\ninterval\n--insecure\n--check-config\n\nKV_ID=n1\nKV_PEERS=a:1',
      '--replication-factor\n5\n--read-quorum\n3\n--weight\n2\n--zone\nz.1\n--http-addr\n[::1]:0\n\nKV_LOG_LEVEL=debug',
      '--help',
      '-V\n--id',
    ].map((text) => Buffer.from(text))
    return {
      make: (random) => mutateText(random, corpus, words),
      run: (input) => {
        const [head = '', tail = ''] = Buffer.from(input).toString('utf8').split('\n\n')
        const argv = head.split('\n').filter((word) => !word.startsWith('--conf'))
        const environment: Record<string, string> = {}
        for (const line of tail.split('\n')) {
          const name = settingNames.map(environmentName).find((each) => line.startsWith(`${each}=`))
          if (name !== undefined) environment[name] = line.slice(name.length + 1)
        }
        return refusedLaterBy(promised, async () => {
          const invocation = await parseCommandLine(argv, environment)
          if (invocation.kind === 'print') return
          const { replicationFactor, readQuorum, writeQuorum } = invocation.config.replication
          if (readQuorum + writeQuorum <= replicationFactor) throw new Fault('quorums that do not meet')
        })
      },
    }
  },
}

/** Lines that are typed into `kv shell`. */
export const shellLine: Target = {
  name: 'shell-line',
  share: 20,
  async open() {
    const corpus = [
      `put 'user 1' "a\\tb\\x00" --ttl 5m`,
      'put k <<END\nline\n END\nEND',
      'get a\\\nb',
      `mget "open\nand closed" 'x' \\xff\\xFE`,
      'scan --prefix user: --limit 5',
    ].map((text) => Buffer.from(text))
    return {
      make: (random) => mutateText(random, corpus, [...words, '<<', "'", '\\', '\\x', '\ud800']),
      run: (input) => {
        const reader = new WordReader()
        return refusedBy(
          (error) => error instanceof UsageError,
          () => {
            for (const line of Buffer.from(input).toString('utf8').split('\n')) {
              reader.push(line)
              if (reader.waiting === undefined) reader.take()
            }
          },
        )
      },
    }
  },
}
