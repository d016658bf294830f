import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameError, frameHeader, MessageDeframer } from './framing.js'

function frame(message: Uint8Array): Buffer {
  return Buffer.concat([frameHeader(message.length), message])
}

describe('message framer', () => {
  it('messages come out as they went in, however the bytes are cut', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 })
    const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 30 })
    void fc.assert(
      fc.property(messages, cuts, (sent, lengths) => {
        const received: number[][] = []
        const deframer = new MessageDeframer(40, (message) => received.push([...message]))
        const bytes = Buffer.concat(sent.map(frame))
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const end = at + lengths[i % lengths.length]!
          deframer.push(bytes.subarray(at, end))
          at = end
        }
        expect(received).toEqual(sent.map((message) => [...message]))
      }),
    )
  })

  it('a length beyond the limit is refused before anything is gathered for it', () => {
    const deframer = new MessageDeframer(10, () => undefined)
    expect(() => deframer.push(frameHeader(11))).toThrow(FrameError)
    expect(() => new MessageDeframer(10, () => undefined).push(frameHeader(0xffffffff))).toThrow(FrameError)
  })

  it('a compressed message is refused', () => {
    const bytes = frame(new Uint8Array(3))
    bytes[0] = 1
    expect(() => new MessageDeframer(10, () => undefined).push(bytes)).toThrow('compressed')
  })
})
