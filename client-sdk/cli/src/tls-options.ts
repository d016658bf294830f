import { readFileSync } from 'node:fs'
import type { TlsOptions } from '@quorumkv/client'
import type { Command } from 'commander'
import { UsageError } from './exit.js'
import type { Io } from './io.js'

/** What the command line says of TLS. */
export interface TlsFlags {
  readonly tls?: true
  readonly tlsCa?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
}

/** Where certificates are; undefined: connections are not encrypted. */
export interface TlsPaths {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

/** The options of the program that say how connections are encrypted. */
export function addTlsOptions(program: Command): void {
  program
    .option('--tls', 'encrypt, and trust the authorities of this machine (env KV_TLS=1)')
    .option('--tls-ca <path>', 'encrypt, and trust these authorities (env KV_TLS_CA)')
    .option('--tls-cert <path>', 'the certificate that says who calls (env KV_TLS_CERT)')
    .option('--tls-key <path>', 'the key of that (env KV_TLS_KEY)')
}

/** What is to be used, by the flags and the environment. Throws UsageError where a certificate comes without its key. */
export function tlsPathsOf({ tls, tlsCa, tlsCert, tlsKey }: TlsFlags, { env }: Pick<Io, 'env'>): TlsPaths | undefined {
  const ca = tlsCa ?? (env['KV_TLS_CA'] || undefined)
  const cert = tlsCert ?? (env['KV_TLS_CERT'] || undefined)
  const key = tlsKey ?? (env['KV_TLS_KEY'] || undefined)
  if ((cert === undefined) !== (key === undefined)) {
    throw new UsageError('--tls-cert', '--tls-cert and --tls-key go together')
  }
  const wanted = tls === true || env['KV_TLS'] === '1' || ca !== undefined || cert !== undefined
  return wanted ? { ca, cert, key } : undefined
}

function read(flag: string, path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined
  try {
    return readFileSync(path)
  } catch (error) {
    throw new UsageError(
      flag,
      `${flag}: cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

/** What the client is given. Throws UsageError where a file cannot be read. */
export function tlsOptionsOf(paths: TlsPaths | undefined): TlsOptions | undefined {
  if (paths === undefined) return undefined
  return { ca: read('--tls-ca', paths.ca), cert: read('--tls-cert', paths.cert), key: read('--tls-key', paths.key) }
}

/** The same as a command line, for a program that is called in the same way. */
export function tlsArguments(paths: TlsPaths | undefined): string[] {
  if (paths === undefined) return []
  const { ca, cert, key } = paths
  const given = [['--tls-ca', ca] as const, ['--tls-cert', cert] as const, ['--tls-key', key] as const]
  return ['--tls', ...given.flatMap(([flag, path]) => (path === undefined ? [] : [`${flag}=${path}`]))]
}
