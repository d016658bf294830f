/*
 * gRPC over HTTP/2, "Length-Prefixed-Message": a byte that says whether it is compressed (here never), the length in
 * four bytes, big-endian, and the message.
 */
/** The bytes before each message. */
export const frameHeaderBytes = 5

/** The header of a message of `messageBytes`. */
export function frameHeader(messageBytes: number): Buffer {
  const header = Buffer.allocUnsafe(frameHeaderBytes)
  writeFrameHeader(header, messageBytes)
  return header
}

/** Puts the header of a message into the first five bytes of `frame`, which the message follows there. */
export function writeFrameHeader(frame: Buffer, messageBytes: number): void {
  frame.writeUInt8(0, 0)
  frame.writeUInt32BE(messageBytes, 1)
}

/** A message with its header before it. */
export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(frameHeaderBytes + message.length)
  writeFrameHeader(frame, message.length)
  frame.set(message, frameHeaderBytes)
  return frame
}

/** The bytes are no frames that we take. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
}

/** Cuts a stream of bytes, in whatever pieces it comes, into messages. */
export class MessageDeframer {
  readonly #messageBytesMax: number
  readonly #deliver: (message: Buffer) => void
  /** What has come of the frame that is being waited for, and how much of it that is. */
  #pieces: Buffer[] = []
  #gatheredBytes = 0
  /** How much is needed before there is anything to do: a header, or all of a frame. */
  #neededBytes = frameHeaderBytes

  constructor(messageBytesMax: number, deliver: (message: Buffer) => void) {
    this.#messageBytesMax = messageBytesMax
    this.#deliver = deliver
  }

  /** Delivers every message that `bytes` completes; a message that lies within them is a view. Throws FrameError. */
  push(bytes: Buffer): void {
    this.#pieces.push(bytes)
    this.#gatheredBytes += bytes.length
    if (this.#gatheredBytes < this.#neededBytes) return
    const gathered = this.#pieces.length === 1 ? bytes : Buffer.concat(this.#pieces, this.#gatheredBytes)
    let start = 0
    this.#neededBytes = frameHeaderBytes
    while (gathered.length - start >= frameHeaderBytes) {
      const end = start + frameHeaderBytes + this.#lengthAt(gathered, start)
      if (end > gathered.length) {
        this.#neededBytes = end - start
        break
      }
      this.#deliver(gathered.subarray(start + frameHeaderBytes, end))
      start = end
    }
    this.#gatheredBytes = gathered.length - start
    this.#pieces = this.#gatheredBytes === 0 ? [] : [gathered.subarray(start)]
  }

  #lengthAt(bytes: Buffer, start: number): number {
    if (bytes[start] !== 0) throw new FrameError('a compressed message, which was not offered')
    const length = bytes.readUInt32BE(start + 1)
    if (length > this.#messageBytesMax) {
      throw new FrameError(`a message of ${length} bytes, where at most ${this.#messageBytesMax} are taken`)
    }
    return length
  }
}

/** The text of `grpc-message`, which gRPC percent-encodes; what somebody else sends need not be so. */
export function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    if (error instanceof URIError) return text
    throw error
  }
}
