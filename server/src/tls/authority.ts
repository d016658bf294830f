import { webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
// The library finds out about classes by metadata, and wants this there before it.
import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

/*
 * Makes certificates: for `kv-server certs` and for tests, and loaded by nothing else. How X.509 is encoded is not what this
 * project is about, so a library does it. Keys are ECDSA on P-256, which every TLS library has, and which signs in microseconds.
 */

/** A certificate and its private key, in PEM. */
export interface Issued {
  readonly cert: string
  readonly key: string
}

/** From when until when something holds; Unix milliseconds. */
export interface Validity {
  readonly fromMs: number
  readonly toMs: number
}

/** What a certificate says. */
export interface CertificateOptions extends Validity {
  /** The common name: for people. */
  readonly subject: string
  /** Host names and IP addresses under which it is reached. */
  readonly hosts?: readonly string[]
  /** Who it is: see `nodeUri` and `clientUri`. */
  readonly uris?: readonly string[]
  /** Whether it may answer, and whether it may call; both unless given. */
  readonly uses?: readonly ('server' | 'client')[]
}

const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const
const usages = { server: ExtendedKeyUsage.serverAuth, client: ExtendedKeyUsage.clientAuth } as const

cryptoProvider.set(webcrypto as unknown as Parameters<typeof cryptoProvider.set>[0])

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify'])
}

async function keyText(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`
}

/** 16 random bytes, of which the first keeps the number positive. */
function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16))
  bytes[0] = (bytes[0]! & 0x3f) | 0x40
  return Buffer.from(bytes).toString('hex')
}

/** A common name may hold what has a meaning where names are written in a line. */
function subjectOf(name: string): { CN: string[] }[] {
  return [{ CN: [name] }]
}

/** An authority of certificates: what it signs, those who trust it trust. */
export class Authority {
  /** Its own certificate, in PEM: what others are given to trust it. */
  readonly cert: string
  readonly #key: webcrypto.CryptoKey

  private constructor(cert: string, key: webcrypto.CryptoKey) {
    this.cert = cert
    this.#key = key
  }

  /** A new one, with a key of its own. */
  static async create(subject: string, { fromMs, toMs }: Validity): Promise<Authority> {
    const keys = await makeKeys()
    const made = await X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: subjectOf(subject),
      notBefore: new Date(fromMs),
      notAfter: new Date(toMs),
      signingAlgorithm,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    })
    return new Authority(`${made.toString('pem')}\n`, keys.privateKey)
  }

  /** One that was made before. Rejects where the texts are not a certificate and its key. */
  static async load({ cert, key }: Issued): Promise<Authority> {
    const pkcs8 = PemConverter.decodeFirst(key)
    return new Authority(cert, await webcrypto.subtle.importKey('pkcs8', pkcs8, keyAlgorithm, true, ['sign']))
  }

  /** Its common name. */
  get subject(): string {
    return new X509Certificate(this.cert).subjectName.getField('CN')[0] ?? ''
  }

  /** The private key, in PEM: who has it can make certificates for anybody. */
  key(): Promise<string> {
    return keyText(this.#key)
  }

  /** A certificate that it signs, with a new key. */
  async issue({
    subject,
    hosts = [],
    uris = [],
    uses = ['server', 'client'],
    fromMs,
    toMs,
  }: CertificateOptions): Promise<Issued> {
    const keys = await makeKeys()
    const above = new X509Certificate(this.cert)
    const names = [
      ...hosts.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
      ...uris.map((value) => ({ type: 'url' as const, value })),
    ]
    const made = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: subjectOf(subject),
      issuer: above.subjectName,
      notBefore: new Date(fromMs),
      notAfter: new Date(toMs),
      signingAlgorithm,
      publicKey: keys.publicKey,
      signingKey: this.#key,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension(uses.map((use) => usages[use])),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
        await AuthorityKeyIdentifierExtension.create(above),
        ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
      ],
    })
    return { cert: `${made.toString('pem')}\n`, key: await keyText(keys.privateKey) }
  }
}
