import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { type ClusterId, invalidArgument, KvError, limits, type NodeId } from '@quorumkv/internal/base'
import { type CertificateName, certificateName } from './names.js'
import { tryOnItself } from './self-handshake.js'

/** Where the certificate, its key and the authorities are, and what to call each when it is wrong. */
export interface TlsFiles {
  readonly cert: string
  readonly key: string
  /** Undefined: clients are asked for no certificates, and other nodes are trusted as the system's authorities say. */
  readonly ca: string | undefined
}

/** `node`: what this server shows; `authority`: the nearest of those in `--tls-ca` to expire. */
export type CertificateKind = 'node' | 'authority'

/** What people want to know about a certificate that is in use. */
export interface CertificateFacts {
  readonly kind: CertificateKind
  readonly subject: string
  /** Unix milliseconds. */
  readonly fromMs: number
  readonly toMs: number
}

/** Whose certificate a node has: it then has this id, in this cluster, and no other. */
export interface OwnName {
  readonly clusterId: ClusterId
  readonly nodeId: NodeId
}

/** What TLS is spoken with, read and found good. */
export interface TlsMaterial {
  /** For servers and for connections to other nodes. */
  readonly context: SecureContextOptions
  /** Whether other nodes and clients are judged by authorities of one's own. */
  readonly hasAuthority: boolean
  /** Undefined: the certificate names no node. */
  readonly name: OwnName | undefined
  readonly facts: readonly CertificateFacts[]
  /** Whether clients that check names reach this node under `host`. */
  readonly isFor: (host: string) => boolean
}

const minVersion = 'TLSv1.2'

function day(ms: number): string {
  return new Date(ms).toISOString()
}

async function readPem(path: string, label: string): Promise<Buffer> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    throw invalidArgument(label, `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (bytes.length > limits.tlsFileBytesMax) {
    throw invalidArgument(label, `${path} has ${bytes.length} bytes; at most ${limits.tlsFileBytesMax} are read`)
  }
  return bytes
}

/** All certificates of a file, in their order. Throws `invalid-argument` where there is none, or one is damaged. */
export function certificatesIn(pem: Buffer, path: string, label: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  const [first, ...rest] = blocks.map((block, i) => {
    try {
      return new X509Certificate(block)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      throw invalidArgument(label, `certificate ${i + 1} of ${path} cannot be read: ${why}`)
    }
  })
  if (first === undefined) throw invalidArgument(label, `${path} holds no certificate in PEM`)
  return [first, ...rest]
}

function privateKey(pem: Buffer, path: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw invalidArgument(
      'tls-key',
      `${path} holds no private key in PEM that can be read without a passphrase: ${why}`,
    )
  }
}

/** The common name, or all of the subject. */
export function subjectText({ subject }: X509Certificate): string {
  return /^CN=(.*)$/m.exec(subject)?.[1] ?? subject.replaceAll('\n', ', ')
}

function factsOf(kind: CertificateKind, certificate: X509Certificate): CertificateFacts {
  const { validFrom, validTo } = certificate
  return { kind, subject: subjectText(certificate), fromMs: Date.parse(validFrom), toMs: Date.parse(validTo) }
}

/** Throws `invalid-argument` where a certificate does not hold now. */
function checkDates({ subject, fromMs, toMs }: CertificateFacts, nowMs: number, label: string): void {
  if (nowMs > toMs)
    throw invalidArgument(label, `the certificate of ${subject} has expired on ${day(toMs)}; it is ${day(nowMs)} here`)
  if (nowMs < fromMs) {
    throw invalidArgument(
      label,
      `the certificate of ${subject} is not valid before ${day(fromMs)}; it is ${day(nowMs)} here`,
    )
  }
}

/** The node that a certificate names. Throws `invalid-argument` where it names somebody else, or wrongly. */
function ownName(certificate: X509Certificate, path: string): OwnName | undefined {
  let name: CertificateName | undefined
  try {
    name = certificateName(certificate.subjectAltName)
  } catch (error) {
    if (!(error instanceof KvError)) throw error
    throw invalidArgument('tls-cert', `${path}: ${error.message}`)
  }
  if (name === undefined) return undefined
  if (name.kind === 'node') return { clusterId: name.clusterId, nodeId: name.nodeId }
  throw invalidArgument('tls-cert', `${path} is the certificate of a client (${name.principal}), not of a node`)
}

/** Throws `invalid-argument` where OpenSSL does not take what could be read, a key that is too short for instance. */
function checkUsable(context: SecureContextOptions): void {
  try {
    createSecureContext(context)
  } catch (error) {
    throw invalidArgument('tls-cert', `TLS cannot be spoken with it: ${error instanceof Error ? error.message : error}`)
  }
}

/**
 * Reads the files and checks that TLS can be spoken with them at `nowMs`: that the key belongs to the certificate, that the
 * certificate holds now, and that the authorities in `ca` vouch for it in both directions, as other nodes will see it. Rejects
 * with `invalid-argument` that names the setting, and says what is wrong.
 */
export async function readMaterial(files: TlsFiles, nowMs: number): Promise<TlsMaterial> {
  const [cert, key, ca] = await Promise.all([
    readPem(files.cert, 'tls-cert'),
    readPem(files.key, 'tls-key'),
    files.ca === undefined ? undefined : readPem(files.ca, 'tls-ca'),
  ])
  const [own] = certificatesIn(cert, files.cert, 'tls-cert')
  if (!own.checkPrivateKey(privateKey(key, files.key))) {
    throw invalidArgument('tls-key', `the key in ${files.key} is not that of the certificate in ${files.cert}`)
  }
  const facts = [factsOf('node', own)]
  checkDates(facts[0]!, nowMs, 'tls-cert')
  const context: SecureContextOptions = { cert, key, minVersion, ...(ca !== undefined && { ca }) }
  checkUsable(context)
  if (files.ca !== undefined && ca !== undefined) {
    const above = certificatesIn(ca, files.ca, 'tls-ca').map((one) => factsOf('authority', one))
    facts.push(above.reduce((soonest, one) => (one.toMs < soonest.toMs ? one : soonest)))
    const problem = await tryOnItself(context)
    if (problem !== undefined) {
      throw invalidArgument('tls-cert', `other nodes with ${files.ca} would not accept ${files.cert}: ${problem}`)
    }
  }
  const isFor = (host: string): boolean => (isIP(host) === 0 ? own.checkHost(host) : own.checkIP(host)) !== undefined
  return { context, hasAuthority: ca !== undefined, name: ownName(own, files.cert), facts, isFor }
}
