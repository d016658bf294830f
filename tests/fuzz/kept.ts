/** An input that has found a fault once. It is put to its target in every run of the tests. */
export interface KeptCase {
  readonly target: string
  /** What was wrong then. */
  readonly was: string
  readonly hex: string
}

/** A failing run prints the bytes of its case: they belong here once what they have found is mended. */
export const keptCases: readonly KeptCase[] = [
  {
    target: 'session-response',
    was: 'the client passed over a field without a number',
    hex: '0000000010011a0208020803',
  },
  {
    target: 'session-response',
    was: 'the client passed over a field whose number has 35 bits',
    hex: '0901000000000080808080808080010010011a020801',
  },
  {
    target: 'document',
    was: 'a topology that is none, with a sound checksum, was no damage',
    hex: '00514b56444f430d0a0100000073000000003fc272ee4552cb000000000000e043223a312c22636c75737465724964223a223031323334353637383961626364656630313233343536373839616263646566222c22696e6361726e6174696f6e223a226665646362613938373635343332313066656463626139383736353433323130222c22726561636865',
  },
  {
    target: 'document',
    was: 'votes that are none were no damage',
    hex: '01514b56444f430d0a0100000041000000861abf872a7d48ad7b22666f726d6174223a312c22736c6f7473223a5b5b302c325d2c5b392c395d2c5b343039352c343039355d5d2c226163636570746564223a5b5b372c375d5d7d',
  },
  {
    target: 'config',
    was: 'an alias to nothing was an internal error',
    hex: '2a61',
  },
  {
    target: 'config',
    was: 'an alias to nothing among keys was an internal error',
    hex: '716464723c3c3a202a610a3a20313231403132372e302e302e313a392220202d223132372e70',
  },
  {
    target: 'http-bytes',
    was: 'a host that ends in a number and is no address ended the node',
    hex: '474554202f6665656420485454502f312e310d0a486f73743a206c6f63616c312e310d0a0d0a',
  },
  {
    target: 'peer-message',
    was: 'a report on a handover was taken whose bytes are not a number, and broke whoever asked for the status',
    hex: 'e20135 0a026e311220 6161616161616161616161616161616161616161616161616161616161616161 1803 2005 2801 31 000000000000f87f'.replaceAll(
      ' ',
      '',
    ),
  },
  {
    target: 'peer-reply',
    was: 'a page of a slot with a floor that is not a number was merged',
    hex: '520d 0801 1003 31 000000000000f87f'.replaceAll(' ', ''),
  },
  {
    target: 'certificate-name',
    was: 'a name in quotes that is no JSON was an internal error',
    hex: '5552493a2271756f72756d6b763a2f2f30313233343536373839616263646566303132333435363738396162236465662d636c69656e742f617070222c20444e533a225c75303136311c222222',
  },
  {
    target: 'auth-file',
    was: 'an alias to nothing was an internal error, which ended a node that reads its file again',
    hex: '2a61',
  },
  {
    target: 'grpc-metadata',
    was: 'a token with a character behind it that metadata may not hold was written to standard error',
    hex: '746509747261696c6572730a636f6e74656e742d74797065096170706c69636174696f6e2f677270630a617574686f72697a6174696f6e094265617265722040726f6f74e9',
  },
]
