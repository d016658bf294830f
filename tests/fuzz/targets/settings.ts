import { KvError, limits } from '@quorumkv/internal/base'
import {
  formatAddress,
  isLoopback,
  parseHostNames,
  parseListenAddresses,
  parsePeers,
} from '../../../server/src/config/addresses.js'
import { settingNames, settings } from '../../../server/src/config/settings.js'
import { mutateText } from '../mutate.js'
import { Fault, refusedBy, type Target } from '../target.js'

const promised = (error: unknown): boolean => error instanceof KvError && error.code === 'invalid-argument'

/** What was read is written so that it is read again as the same. */
function checkPeers(text: string): void {
  const peers = parsePeers(text, 'peers')
  if (peers.length > limits.membersMax) throw new Fault(`${peers.length} peers`)
  if (new Set(peers.map(({ address }) => address)).size !== peers.length) throw new Fault('one address twice')
  const written = peers.map(({ address, id }) => (id === undefined ? address : `${id}@${address}`)).join(',')
  if (JSON.stringify(parsePeers(written, 'peers')) !== JSON.stringify(peers))
    throw new Fault(`not read back: ${written}`)
}

function checkListen(text: string): void {
  for (const { host, port } of parseListenAddresses(text, 'addr')) {
    if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Fault(`port ${port}`)
    const [again] = parseListenAddresses(formatAddress(host, port), 'addr')
    if (again?.host !== host || again.port !== port) throw new Fault(`not read back: ${formatAddress(host, port)}`)
    isLoopback(host)
  }
}

function checkHostNames(text: string): void {
  const names = parseHostNames(text, 'http-allow-host')
  if (parseHostNames(names.join(','), 'http-allow-host').join() !== names.join())
    throw new Fault(`not read back: ${names}`)
}

/** Every setting by itself, as a flag or a variable gives it: addresses, peers, durations, sizes, numbers, words. */
export const settingTexts: Target = {
  name: 'setting',
  share: 40,
  bytesPerByteMax: 4_000,
  async open() {
    const corpus = [
      ...[
        'n1@127.0.0.1:50051,n2@[::1]:50052, host.example:3',
        'n1@a:1,a:1,b:2',
        'a:1,'.repeat(90),
        '[fe80::1%25eth0]:1',
      ],
      ...[':50051', '0.0.0.0:0', 'localhost:1', '[::]:65535', 'kv.example,*.example', 'KV.Example., a_b.c'],
      ...[
        '300s',
        '1.5h',
        '0.001s',
        '30d',
        '64MiB',
        '1GB',
        '1099511627776',
        '0',
        '150',
        'true',
        'NO',
        'always',
        'zone-a.b_c',
      ],
    ].map((text) => Buffer.from(text))
    const words = [
      '@',
      ':',
      '[',
      ']',
      ',',
      '::',
      '%',
      '\0',
      '٣',
      '-0',
      '1e9',
      'NaN',
      ' ',
      '__proto__',
      '9'.repeat(15),
      '.'.repeat(300),
    ]
    return {
      make: (random) => mutateText(random, corpus, words),
      run: (input) => {
        const text = Buffer.from(input).toString('utf8')
        let verdict: 'taken' | 'refused' = 'refused'
        for (const name of settingNames) {
          // Any text without a NUL is a path.
          if (refusedBy(promised, () => checkNumber(name, settings[name].parse(text, name))) === 'refused') continue
          if (typeof settings[name].unset !== 'string' && settings[name].unset !== undefined) verdict = 'taken'
        }
        for (const check of [checkPeers, checkListen, checkHostNames])
          if (refusedBy(promised, () => check(text)) === 'taken') verdict = 'taken'
        return verdict
      },
    }
  },
}

function checkNumber(name: string, value: unknown): void {
  if (typeof value === 'number' && !(Number.isSafeInteger(value) && value >= 0))
    throw new Fault(`${value} was made of ${name}`)
}
