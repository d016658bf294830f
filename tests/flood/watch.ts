import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { get } from 'node:http'
import { get as getTls } from 'node:https'
import type { TestServer } from '../fixtures.js'

const sampleMs = 50
/** Of a scrape; the door may be full of attackers. */
const scrapeMs = 2_000

/** What a node holds for those who call it. */
export interface Holdings {
  readonly grpcConnections: number
  readonly httpConnections: number
  readonly calls: number
  readonly sessions: number
  readonly receivedBytes: number
  /** Sockets of the process, as the system counts them. */
  readonly sockets: number
}

function scrape(url: string, ca: Buffer | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const ask = ca === undefined ? get : getTls
    const options = { agent: false, timeout: scrapeMs, ...(ca === undefined ? {} : { ca }) } as const
    const asked = ask(`${url}/metrics`, options, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      answer.once('end', () =>
        answer.statusCode === 200 ? resolve(text) : reject(new Error(`HTTP ${answer.statusCode}`)),
      )
      answer.once('error', reject)
    })
    asked.once('timeout', () => asked.destroy(new Error('no answer in time')))
    asked.once('error', reject)
  })
}

function socketsOf(pid: number): number {
  let count = 0
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${name}`).startsWith('socket:')) count++
    } catch (error) {
      // It has been closed since it was listed.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  return count
}

/** What it holds now. `ca`: of its certificate, where it speaks TLS. Rejects where it does not tell. */
export async function holdingsOf(server: TestServer, ca: Buffer | undefined): Promise<Holdings> {
  const { httpUrl } = server
  const text = await scrape(ca === undefined ? httpUrl : httpUrl.replace('http:', 'https:'), ca)
  const value = (name: string): number => {
    const line = text.split('\n').find((each) => each.startsWith(`${name} `))
    if (line === undefined) throw new Error(`there is no ${name} in /metrics`)
    return Number(line.slice(name.length + 1))
  }
  return {
    grpcConnections: value('kv_connections{kind="grpc"}'),
    httpConnections: value('kv_connections{kind="http"}'),
    calls: value('kv_calls'),
    sessions: value('kv_client_sessions'),
    receivedBytes: value('kv_received_bytes'),
    sockets: socketsOf(server.pid),
  }
}

/** Memory that the process has, in bytes. Throws where there is no such process. */
export function rssBytes(pid: number): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1])
  return pages * 4_096
}

/** Processor time that it has used, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name of the program, which may have spaces, is in brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Looks again and again at how much memory a process has, and keeps the most. */
export class RssWatch implements Disposable {
  readonly #timer: NodeJS.Timeout
  highest: number

  constructor(pid: number) {
    this.highest = rssBytes(pid)
    this.#timer = setInterval(() => {
      try {
        this.highest = Math.max(this.highest, rssBytes(pid))
      } catch (error) {
        // It has ended: others notice.
        if (!/ENOENT|ESRCH/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
      }
    }, sampleMs)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
