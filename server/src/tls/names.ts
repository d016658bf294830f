import { type ClusterId, KvError, type NodeId, parseClusterId, parseNodeId } from '@quorumkv/internal/base'

/** Whom a certificate names: a node of a cluster, or one who uses it. */
export type CertificateName =
  | { readonly kind: 'node'; readonly clusterId: ClusterId; readonly nodeId: NodeId }
  | { readonly kind: 'client'; readonly clusterId: ClusterId; readonly principal: string }

/** What a caller's certificate says, where an authority of this node vouches for it. */
export interface ShownCertificate {
  readonly name: CertificateName
  /** Until when it holds, in Unix milliseconds. The connection on which it was shown may last for longer. */
  readonly toMs: number
}

/** The URI that makes a certificate that of a node. */
export function nodeUri(clusterId: string, nodeId: string): string {
  return `quorumkv://${clusterId}/node/${nodeId}`
}

/** The URI that makes a certificate that of a principal. */
export function clientUri(clusterId: string, principal: string): string {
  return `quorumkv://${clusterId}/client/${principal}`
}

/** Whether a text may be the name of a principal. */
export function isPrincipal(text: string): boolean {
  return /^[a-z0-9-]{1,63}$/.test(text)
}

/**
 * The entries of what Node gives as `subjectaltname`: `DNS:a, URI:b, …`. One that holds a comma, a quote or anything
 * else unusual comes as a JSON string, so that a DNS name cannot pretend to be two entries (CVE-2021-44532). Throws
 * `permission-denied` where it is none.
 */
export function alternativeNames(
  text: string | undefined,
): readonly { readonly type: string; readonly value: string }[] {
  const entry = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/y
  const names: { type: string; value: string }[] = []
  for (let match = entry.exec(text ?? ''); match !== null; match = entry.exec(text ?? '')) {
    const [, type = '', value = ''] = match
    names.push({ type, value: value.startsWith('"') ? unquoted(value) : value })
  }
  return names
}

function unquoted(value: string): string {
  try {
    return String(JSON.parse(value))
  } catch (error) {
    if (error instanceof SyntaxError) throw bad(value, 'which cannot be read')
    throw error
  }
}

function bad(text: string, why: string): KvError {
  return new KvError('permission-denied', `the certificate names ${JSON.stringify(text)}, ${why}`)
}

function parseName(uri: string): CertificateName {
  const match = /^quorumkv:\/\/([0-9a-f]{32})\/(node|client)\/([a-z0-9-]{1,63})$/.exec(uri)
  if (match === null)
    throw bad(uri, 'which is neither quorumkv://<cluster id>/node/<id> nor quorumkv://<cluster id>/client/<name>')
  const [, cluster = '', kind, name = ''] = match
  const clusterId = parseClusterId(cluster)
  return kind === 'node'
    ? { kind: 'node', clusterId, nodeId: parseNodeId(name) }
    : { kind: 'client', clusterId, principal: name }
}

/**
 * Whom a certificate with these alternative names is for; undefined: nobody whom this project knows. Throws
 * `permission-denied` where it names somebody wrongly, or more than one: nobody is to choose who they are today.
 */
export function certificateName(subjectAltName: string | undefined): CertificateName | undefined {
  const uris = alternativeNames(subjectAltName).flatMap(({ type, value }) => {
    return type === 'URI' && /^quorumkv:/i.test(value) ? [value] : []
  })
  const [uri, second] = uris
  if (second !== undefined) throw bad(uris.join(' and '), 'and may name one only')
  return uri === undefined ? undefined : parseName(uri)
}

/** What a certificate says, as Node tells of it; undefined where it names nobody. Throws as `certificateName`. */
export function shownCertificate(
  certificate: { readonly subjectaltname?: string | undefined; readonly valid_to: string } | undefined,
): ShownCertificate | undefined {
  const name = certificateName(certificate?.subjectaltname)
  return name === undefined || certificate === undefined ? undefined : { name, toMs: Date.parse(certificate.valid_to) }
}

/** As it is written in messages. */
export function nameText(name: CertificateName | undefined): string {
  if (name === undefined) return 'nobody'
  return name.kind === 'node'
    ? `node ${name.nodeId} of cluster ${name.clusterId}`
    : `client ${name.principal} of cluster ${name.clusterId}`
}
