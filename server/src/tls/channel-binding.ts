import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { TLSSocket } from 'node:tls'
import { exchangePath } from '../links/exchange.js'

const label = 'EXPORTER-QuorumKV-Link'
const bytes = 32
/** Where the called side puts what `channelBinding` says, among the headers of a call: what came there itself is lost. */
export const bindingKey = 'kv-channel-binding'
/** Likewise, what is wrong with the dates of the certificate that was shown, in the words of OpenSSL; empty: nothing. */
export const datesKey = 'kv-certificate-dates'

/**
 * What the two ends of one TLS connection have in common and nobody else has, not even who is the other end of two connections
 * between them: keying material for exporting (RFC 5705; RFC 8446, 7.5; as `tls-exporter` of RFC 9266). Empty where a
 * connection is not encrypted.
 */
export function channelBinding(socket: unknown): string {
  if (!(socket instanceof TLSSocket)) return ''
  return socket.exportKeyingMaterial(bytes, label, Buffer.alloc(0)).toString('base64url')
}

/** What is wrong with the dates of the certificate that the other end has shown; empty: nothing, or something else. */
function datesProblem(socket: unknown): string {
  const problem = socket instanceof TLSSocket ? String(socket.authorizationError ?? '') : ''
  return /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/.test(problem) ? problem : ''
}

/** Has the headers of a link say on which connection it came: who takes the call from gRPC does not see that. */
export function markChannel({ session }: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  if (headers[':path'] !== exchangePath) return
  headers[bindingKey] = channelBinding(session?.socket)
  headers[datesKey] = datesProblem(session?.socket)
}
