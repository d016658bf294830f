import { duplexPair } from 'node:stream'
import { connect, createServer, type SecureContextOptions, type TLSSocket } from 'node:tls'
import { limits } from '@quorumkv/internal/base'
import { explainTlsError } from '@quorumkv/proto/tls-errors'

function words(error: unknown): string {
  return explainTlsError(error) ?? (error instanceof Error ? error.message : String(error))
}

/**
 * What two nodes with the same files would say to each other: undefined if each accepts the other. It is OpenSSL that judges, as it
 * will when it matters, in a handshake with oneself that leaves no process.
 */
export function tryOnItself(context: SecureContextOptions): Promise<string | undefined> {
  return new Promise((resolve) => {
    const [near, far] = duplexPair()
    let client: TLSSocket | undefined
    const done = (problem: string | undefined): void => {
      clearTimeout(timer)
      client?.destroy()
      near.destroy()
      far.destroy()
      resolve(problem)
    }
    const timer = setTimeout(() => done('the handshake did not come to an end'), limits.greetingMsMax)
    try {
      const server = createServer({ ...context, requestCert: true, rejectUnauthorized: false })
      server.on('tlsClientError', (error) => done(`as a caller: ${words(error)}`))
      server.on('secureConnection', (socket) => {
        socket.on('error', (error) => done(words(error)))
        // In TLS 1.3 the caller is done before it was judged: only this side knows, and Node gives it the code alone.
        const code: unknown = socket.authorizationError
        if (socket.authorized) socket.end('.')
        else done(`as a caller: ${words(Object.assign(new Error(String(code)), { code }))}`)
      })
      client = connect({ ...context, socket: near, checkServerIdentity: () => undefined })
      client.on('error', (error) => done(words(error)))
      client.once('data', () => done(undefined))
      client.on('close', () => done('the handshake broke off'))
      server.emit('connection', far)
    } catch (error) {
      done(words(error))
    }
  })
}
