import type { ClientStats, Consistency, KvClientOptions, KvOperations } from '@quorumkv/client'
import type { Colors } from 'picocolors/types.js'
import type { Io } from './io.js'
import type { Look } from './table.js'
import type { TlsPaths } from './tls-options.js'

/** The part of the SDK that the commands use. */
export interface Client
  extends Pick<
    KvOperations,
    | 'put'
    | 'getBytes'
    | 'getEntry'
    | 'delete'
    | 'getManyEntries'
    | 'scan'
    | 'status'
    | 'statusAll'
    | 'topology'
    | 'partition'
    | 'snapshot'
    | 'repair'
    | 'operator'
    | 'ready'
    | 'close'
  > {
  stats(): Pick<ClientStats, 'epoch'>
}

export type Connect = (options: KvClientOptions) => Client

/** How results are printed: for people, for programs, or as they are stored. */
export type OutputForm = 'table' | 'json' | 'raw'

/** The options that every command takes. */
export interface GlobalOptions {
  readonly endpoints: readonly string[]
  readonly json: boolean
  /** What `--output` says; undefined: people on a terminal get a table, programs behind a pipe the very bytes. */
  readonly output: OutputForm | undefined
  readonly consistency: Consistency | undefined
  /** Milliseconds that one call may take; undefined: not given. */
  readonly timeoutMs: number | undefined
  /** Where the token is that says who calls; undefined: in KV_TOKEN, if anywhere. */
  readonly tokenFile: string | undefined
  /** The token goes to other machines without TLS as well. */
  readonly insecure: boolean
  /** Undefined: connections are not encrypted. */
  readonly tls: TlsPaths | undefined
}

/** What a command works with. */
export interface Context {
  readonly io: Io
  readonly options: GlobalOptions
  /** Plain text where standard output is no terminal or NO_COLOR is set. */
  readonly colours: Colors
  /** How tables look here. */
  readonly look: Look
  /** Whether bytes are shown to people: visibly, shortened, with a newline. Otherwise they are written as they are. */
  readonly shown: boolean
  /** Connects when it is first called; the program closes what was connected. Throws where an endpoint is malformed. */
  client(): Client
  /** One more client, of the same endpoints and time for a call; the program closes it. Throws likewise. */
  connect(options: Partial<KvClientOptions>): Client
}

/** How the commands hand over their work once the command line has been understood. */
export type Execute = (run: Run) => Promise<void>

/** A command: it resolves to its exit status; what it throws is reported and decides the status. */
export type Run = (context: Context) => Promise<number>

/** What is passed on to every call that reads or writes keys. */
export function callOptions({
  consistency,
  timeoutMs,
}: GlobalOptions): Pick<GlobalOptions, 'consistency' | 'timeoutMs'> {
  return { consistency, timeoutMs }
}
