import { expect, test } from 'vitest'
import { decodeIsLeader, decodeRangeValue, encodePutRequest, encodeRangeRequest } from './etcd-messages.js'

// Bytes as protoc 36.2 wrote them from etcd's rpc.proto: `protoc --encode=etcdserverpb.PutRequest …`.
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

test('requests are those of etcdserverpb', () => {
  expect(encodeRangeRequest('k1')).toEqual(hex('0a 02 6b31'))
  expect(encodePutRequest({ key: 'k1', value: Buffer.from([0, 255]) })).toEqual(hex('0a 02 6b31 12 02 00ff'))
})

test('a value is found between fields that are not needed', () => {
  // header { cluster_id 1, revision 5 }, kvs { key k1, create_revision 2, mod_revision 5, version 3, value 00ff }, count 1
  const found = hex('0a 04 0801 1805 12 0e 0a02 6b31 1002 1805 2003 2a02 00ff 2001')
  expect(decodeRangeValue(found)).toEqual(hex('00ff'))
  expect(decodeRangeValue(hex('0a 04 0801 1805'))).toBeUndefined()
  expect(decodeRangeValue(hex('12 0a 0a02 6b31 1002 1805 2003'))).toEqual(hex(''))
})

test('the leader is who names itself', () => {
  // header { member_id 300 }, version "3.4", leader 300 or 301
  expect(decodeIsLeader(hex('0a 03 10ac02 12 03 332e34 20ac02'))).toBe(true)
  expect(decodeIsLeader(hex('0a 03 10ac02 12 03 332e34 20ad02'))).toBe(false)
  expect(decodeIsLeader(hex('0a 03 10ac02'))).toBe(false)
})
