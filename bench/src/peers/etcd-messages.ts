import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire'

/*
 * What is needed of etcd's API (etcdserverpb, version 3.4), written by hand: a client that does less for each call than
 * etcd's own would be measured to etcd's advantage, never to its disadvantage.
 *
 *     RangeRequest  { bytes key = 1 }                         RangeResponse { repeated KeyValue kvs = 2 }
 *     PutRequest    { bytes key = 1; bytes value = 2 }        KeyValue      { bytes key = 1; bytes value = 5 }
 *     StatusResponse { ResponseHeader header = 1; uint64 leader = 4 }       ResponseHeader { uint64 member_id = 2 }
 */

/** A read of one key: linearizable, as no field says otherwise. */
export function encodeRangeRequest(key: string): Buffer {
  return Buffer.from(new BinaryWriter().uint32(0x0a).string(key).finish())
}

/** A write of one key. */
export function encodePutRequest({ key, value }: { readonly key: string; readonly value: Buffer }): Buffer {
  return Buffer.from(new BinaryWriter().uint32(0x0a).string(key).uint32(0x12).bytes(value).finish())
}

/** Calls `field` with the number of each field that is there; it returns whether it has read it. */
function readFields(reader: BinaryReader, end: number, field: (fieldNumber: number) => boolean): void {
  while (reader.pos < end) {
    const [fieldNumber, wireType] = reader.tag()
    if (!field(fieldNumber)) reader.skip(wireType)
  }
}

/** The value of the one key that was asked for; undefined: it is not there. A view of `bytes`. */
export function decodeRangeValue(bytes: Uint8Array): Uint8Array | undefined {
  const reader = new BinaryReader(bytes)
  let value: Uint8Array | undefined
  readFields(reader, reader.len, (responseField) => {
    if (responseField !== 2) return false
    const end = reader.uint32() + reader.pos
    // Proto3 leaves an empty value out.
    value = bytes.subarray(0, 0)
    readFields(reader, end, (entryField) => {
      if (entryField !== 5) return false
      value = reader.bytes()
      return true
    })
    return true
  })
  return value
}

/** Whether who answers is the leader. */
export function decodeIsLeader(bytes: Uint8Array): boolean {
  const reader = new BinaryReader(bytes)
  let member = ''
  let leader = 'none'
  readFields(reader, reader.len, (field) => {
    if (field === 4) leader = String(reader.uint64())
    if (field !== 1) return field === 4
    readFields(reader, reader.uint32() + reader.pos, (headerField) => {
      if (headerField !== 2) return false
      member = String(reader.uint64())
      return true
    })
    return true
  })
  return member === leader
}
