import { invalidArgument } from '@quorumkv/internal/base'
import { isLoopback } from './addresses.js'
import type { SettingValues } from './settings.js'

/** The settings that say who can reach a node, and what they have to show. */
export type Exposure = Pick<
  SettingValues,
  'addr' | 'httpAddr' | 'insecure' | 'tlsCert' | 'tlsKey' | 'tlsCa' | 'requireClientCert' | 'clusterSecretFile'
> & {
  /** Callers have to say who they are. */
  readonly authFile?: string | undefined
}

/** Throws `invalid-argument` where of two settings that go together one is missing. */
function checkTls({ tlsCert, tlsKey, tlsCa, requireClientCert }: Exposure, labelOf: (name: string) => string): void {
  if (tlsCert !== undefined && tlsKey === undefined)
    throw invalidArgument(labelOf('tlsCert'), 'needs --tls-key as well')
  if (tlsCert !== undefined) {
    if (!requireClientCert || tlsCa !== undefined) return
    throw invalidArgument(labelOf('requireClientCert'), 'needs --tls-ca, which says whose certificates are good')
  }
  const alone =
    tlsKey !== undefined ? 'tlsKey' : tlsCa !== undefined ? 'tlsCa' : requireClientCert ? 'requireClientCert' : ''
  if (alone !== '') throw invalidArgument(labelOf(alone), 'needs --tls-cert and --tls-key as well')
}

/**
 * A data store that strangers can reach is found within hours, by those who look for such. So one that they can reach must be
 * encrypted and must know who calls, unless somebody has said in as many words that it need not. Throws `invalid-argument`.
 */
export function checkExposure(exposure: Exposure, labelOf: (name: string) => string): void {
  checkTls(exposure, labelOf)
  const { addr, httpAddr = [], insecure, tlsCert, tlsCa, requireClientCert, clusterSecretFile, authFile } = exposure
  const encrypted = tlsCert !== undefined
  const known = requireClientCert || authFile !== undefined
  const open = [
    ...addr.map(({ host }) => ({ name: 'addr', host })),
    ...httpAddr.map(({ host }) => ({ name: 'httpAddr', host })),
  ].find(({ host }) => !isLoopback(host))
  if (open !== undefined && !insecure && !(encrypted && known)) {
    const lacks = [...(encrypted ? [] : ['encryption']), ...(known ? [] : ['authentication'])].map(
      (what) => `no ${what}`,
    )
    throw invalidArgument(
      labelOf(open.name),
      `${open.host} can be reached from other machines, and this server has ${lacks.join(' and ')}; ` +
        'give it --tls-cert, --tls-key and either --auth-file or --tls-ca with --require-client-cert, ' +
        'listen on 127.0.0.1 (or on ":port"), or say --insecure if the network is trusted',
    )
  }
  // Who may pass for a node may read and write everything, whatever clients have to show.
  const nodesProve = tlsCa !== undefined || clusterSecretFile !== undefined
  if (authFile !== undefined && !nodesProve && !(insecure && open === undefined)) {
    throw invalidArgument(
      labelOf('authFile'),
      'needs --tls-ca or --cluster-secret-file as well: without them anybody who says so passes for another node, to whom ' +
        'everything is open (on 127.0.0.1 --insecure allows it)',
    )
  }
}
