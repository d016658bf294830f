import { Metadata } from '@grpc/grpc-js'
import { KvError } from '@quorumkv/internal/base'
import { linkKeys } from '../../../server/src/links/exchange.js'
import { bindingKey } from '../../../server/src/tls/channel-binding.js'
import { ClusterSecret } from '../../../server/src/tls/cluster-secret.js'
import { AcceptorProof, DiallerProof } from '../../../server/src/tls/link-proof.js'
import { mutateText } from '../mutate.js'
import { Fault, refusedBy, type Target } from '../target.js'

const clusterId = '0123456789abcdef'.repeat(2)
const keys = Object.values(linkKeys)
/** Of the connection that both ends see. */
const binding = 'bound'

/** Headers, a line each; only those with names and values that HTTP/2 lets through. */
function headersIn(text: string): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const at = line.indexOf('=')
    const [name, value] = [line.slice(0, at), line.slice(at + 1)]
    if (/^[a-z0-9._-]+$/.test(name) && !name.endsWith('-bin') && /^[ -~]*$/.test(value)) headers[name] = value
  }
  return headers
}

/**
 * What both ends of a link show to prove that they know the secret of the cluster. Half of the inputs are what the acceptor says, the
 * others what the dialler does: its headers, and behind an empty line its first message. `@name` stands for what an honest node
 * would say there, which is new in every run.
 */
export const linkProof: Target = {
  name: 'link-proof',
  share: 12,
  async open() {
    const secret = new ClusterSecret(Buffer.alloc(32, 7))
    const other = new ClusterSecret(Buffer.alloc(32, 8))
    const [a, b] = [
      { nodeId: 'n1', clusterId },
      { nodeId: 'n2', clusterId },
    ]
    const honest = keys.map((key) => `${key}=@${key}`).join('\n')
    const corpus = [
      `A${honest}`,
      `A${honest}`,
      `A${honest}\nx=y\nkv-channel=gossip`,
      `D${honest}\n\n@answer`,
      `D${honest}\n\n@answer`,
      `D${keys.map((key) => `${key}=`).join('\n')}\n\n@other`,
      `D${honest}\n\n@kv-proof`,
    ].map((text) => Buffer.from(text))
    const words = [
      ...keys,
      '@kv-proof',
      '@kv-nonce',
      '@answer',
      '@other',
      '=',
      '\n',
      '\0',
      '__proto__=1\n',
      'kv-nonce=',
      'A'.repeat(43),
    ]
    const promised = (error: unknown): boolean =>
      error instanceof KvError && (error.code === 'unauthenticated' || error.code === 'permission-denied')

    const acceptorSays = (text: string, knows: ClusterSecret): void => {
      const dialler = new DiallerProof(secret, a, 'requests')
      const said = Metadata.fromHttp2Headers(dialler.headers)
      said.set(bindingKey, binding)
      const answer = new Metadata()
      new AcceptorProof(knows, b, 'requests', said).addTo(answer)
      const told = answer.toHttp2Headers()
      const value = (key: string): string => String([told[key] ?? ''].flat()[0])
      const shown = headersIn(keys.reduce((filled, key) => filled.replaceAll(`@${key}`, value(key)), text))
      const proved = dialler.check(shown, undefined, binding)
      const isHonest = knows === secret && keys.every((key) => shown[key] === value(key))
      if (!isHonest || proved.nodeId !== b.nodeId || proved.clusterId !== clusterId)
        throw new Fault(`${proved.nodeId} of ${proved.clusterId} has proved nothing`)
    }

    const diallerSays = (text: string, knows: ClusterSecret): void => {
      const [head = '', ...rest] = text.split('\n\n')
      const dialler = new DiallerProof(knows, a, 'requests')
      const own = dialler.headers
      const fill = (template: string): string =>
        keys.reduce((filled, key) => filled.replaceAll(`@${key}`, own[key] ?? ''), template)
      const shown = headersIn(fill(head))
      // As the server does, whatever the caller says.
      const said = Metadata.fromHttp2Headers(shown)
      said.set(bindingKey, binding)
      const acceptor = new AcceptorProof(secret, b, 'requests', said)
      const told = new Metadata()
      acceptor.addTo(told)
      // An honest dialler answers what it has been told, by the nonce that it has sent itself.
      refusedBy(promised, () => dialler.check(told.toHttp2Headers() as Record<string, string>, undefined, binding))
      const message = rest.join('\n\n').replaceAll('@answer', dialler.answer().toString())
      const overheard = String(told.get(linkKeys.proof)[0])
      const proved = acceptor.check(Buffer.from(message.replaceAll('@other', overheard), 'latin1'), undefined)
      const isHonest =
        knows === secret && [linkKeys.node, linkKeys.cluster, linkKeys.nonce].every((key) => shown[key] === own[key])
      if (!isHonest || proved.nodeId !== a.nodeId || proved.clusterId !== clusterId)
        throw new Fault(`${proved.nodeId} of ${proved.clusterId} has proved nothing`)
    }

    return {
      make: (random) => mutateText(random, corpus, words),
      run: (input) => {
        const text = Buffer.from(input).toString('latin1')
        const says = text.startsWith('A') ? acceptorSays : diallerSays
        // Who knows another secret proves nothing, whatever is said.
        if (refusedBy(promised, () => says(text.slice(1), other)) === 'taken')
          throw new Fault('another secret was taken')
        return refusedBy(promised, () => says(text.slice(1), secret))
      },
    }
  },
}
