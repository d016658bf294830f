import { createSecureContext } from 'node:tls'
import { ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js'
import { KvError } from '@quorumkv/internal/base'
import type { Certificates } from './certificates.js'
import { provedByCertificate } from './link-trust.js'

/** What an address is called instead: TLS wants a name (RFC 6066), and it is not by this that a member is known. */
const noName = 'node.invalid'

export interface MemberCredentials {
  readonly credentials: ChannelCredentials
  readonly more: ChannelOptions
}

/** What the member called `id` is asked with over gRPC, as clients ask; it must be that member and no other. */
export function memberCredentials(certificates: Certificates | undefined, id: string): MemberCredentials {
  if (certificates === undefined) return { credentials: ChannelCredentials.createInsecure(), more: {} }
  const { material } = certificates
  const context = createSecureContext(material.context)
  if (!material.hasAuthority) return { credentials: ChannelCredentials.createFromSecureContext(context), more: {} }
  const credentials = ChannelCredentials.createFromSecureContext(context, {
    checkServerIdentity: (_host, { subjectaltname }) => {
      try {
        const proved = provedByCertificate(material, subjectaltname)
        if (proved === undefined || proved.nodeId === id) return undefined
        return new KvError('unauthenticated', `its certificate is that of ${proved.nodeId}, not of ${id}`)
      } catch (error) {
        if (error instanceof KvError) return error
        throw error
      }
    },
  })
  return { credentials, more: { 'grpc.ssl_target_name_override': noName } }
}
