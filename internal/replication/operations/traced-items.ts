import type { ItemTrace } from '@quorumkv/proto/kv/peer/v1/messages'
import type { PartTrace, TracedPart, TraceWatch } from '../../base/index.js'
import { compareVersions, zeroVersion } from '../../hlc/index.js'
import type { StoredRecord } from '../../record/index.js'
import type { ReadReply } from '../replicas/replica.js'

/** A write as who follows a replica's part is told of it. */
export function tracedWrite(record: StoredRecord, isRepair: boolean): Pick<TracedPart, 'kind' | 'bytes' | 'isRepair'> {
  const kind = record.tombstone ? 'delete' : 'put'
  return { kind, bytes: record.key.length + record.value.length, isRepair }
}

/** What a read's answer is called there. */
export function readAnswer({ kind, version }: ReadReply): string {
  return kind === 'held' && compareVersions(version, zeroVersion) === 0 ? 'absent' : kind
}

/** Begins the parts that a message asks for, each below the span that the message names for it. */
export class TracedItems {
  readonly #watch: TraceWatch
  readonly #coordinator: string
  readonly #ofWrites = new Map<number, string>()
  readonly #ofReads = new Map<number, string>()

  constructor(watch: TraceWatch, coordinator: string, traces: readonly ItemTrace[]) {
    this.#watch = watch
    this.#coordinator = coordinator
    for (const { id, read, traceparent } of traces) (read ? this.#ofReads : this.#ofWrites).set(id, traceparent)
  }

  write(id: number, record: StoredRecord, isRepair: boolean): PartTrace {
    const traceparent = this.#ofWrites.get(id) ?? ''
    return this.#watch.part({ ...tracedWrite(record, isRepair), coordinator: this.#coordinator, traceparent })
  }

  read(id: number, key: Uint8Array): PartTrace {
    const traceparent = this.#ofReads.get(id) ?? ''
    const bytes = key.length
    return this.#watch.part({ kind: 'get', bytes, isRepair: false, coordinator: this.#coordinator, traceparent })
  }
}
