const trust = 'no authority that is trusted here has signed its certificate (another --tls-ca?)'
const unsigned =
  'it does not trust the authority that has signed the certificate of this side (another --tls-ca there?)'
const plain = 'it does not speak TLS'
const wanted = 'it wants a certificate of this side, and was given none'

/** What OpenSSL and Node say by a code, about the other side's certificate, in words. */
const byCode: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate, or that of an authority above it, has expired',
  CERT_NOT_YET_VALID: 'its certificate, or that of an authority above it, is not valid yet (is a clock wrong?)',
  UNABLE_TO_GET_ISSUER_CERT: trust,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: trust,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: trust,
  SELF_SIGNED_CERT_IN_CHAIN: trust,
  DEPTH_ZERO_SELF_SIGNED_CERT: trust,
  CERT_SIGNATURE_FAILURE: trust,
  CERT_UNTRUSTED: trust,
  CERT_REVOKED: 'its certificate was revoked',
  INVALID_PURPOSE: 'its certificate was not made for this use (extended key usage)',
  INVALID_CA: 'what has signed its certificate may sign none',
  ERR_SSL_WRONG_VERSION_NUMBER: plain,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: plain,
  ERR_SSL_HTTP_REQUEST: plain,
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'no version of TLS is allowed on both sides',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'no version of TLS is allowed on both sides',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: wanted,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: wanted,
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: 'it finds the certificate of this side expired',
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: 'it does not accept the certificate of this side',
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'it does not accept the certificate of this side',
  ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE: 'the certificate of this side was not made for this use',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: unsigned,
}

/** What an encrypted connection ends with that the other side closed before it said anything. */
export const closedAfterHandshake =
  'closed the connection after the TLS handshake: it may want a certificate of this side, or not accept the one that it got'

/** What a plain connection ends with that the other side closed before it said anything. */
export const closedWithoutAWord =
  'closed the connection before it said anything: it may want TLS, or be something else than a node'

/**
 * What is wrong between two sides that could not agree on TLS, in words about "it", the other side; undefined: the error
 * is not about TLS.
 */
export function explainTlsError(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined
  const { code, reason } = error as NodeJS.ErrnoException & { readonly reason?: unknown }
  if (code === undefined) return undefined
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `its certificate is for another name: ${typeof reason === 'string' ? reason : error.message}`
  }
  const known = byCode[code]
  if (known !== undefined) return `${known} [${code}]`
  return code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')
    ? `TLS failed: ${error.message} [${code}]`
    : undefined
}
