import type { Log } from '@quorumkv/internal/env'
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'
import type { LogFormat, LogLevel } from './config/settings.js'

/** Standard error. Written at once: the last line before a crash is the one that is wanted. */
const standardError = 2

async function openDestination(format: LogFormat): Promise<DestinationStream> {
  if (format === 'json') return pino.destination({ dest: standardError, sync: true })
  // Only people read it, and each start of a node pays for what is loaded.
  const { default: pretty } = await import('pino-pretty')
  return pretty({
    destination: standardError,
    sync: true,
    colorize: process.stderr.isTTY && !process.env['NO_COLOR'],
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
  })
}

/** The store's log over pino. Facts named `error` are written with their type, message and stack. */
export function adaptLogger(logger: Logger): Log {
  return {
    debug: (message, facts = {}) => logger.debug(facts, message),
    info: (message, facts = {}) => logger.info(facts, message),
    warn: (message, facts = {}) => logger.warn(facts, message),
    error: (message, facts = {}) => logger.error(facts, message),
  }
}

/**
 * Nobody logs keys and values; should somebody begin to, they do not get out. People's data does not belong into logs, which
 * go to many places and stay for long.
 */
const secret = ['key', 'keys', 'value', 'values', 'prefix']
const redact = { paths: secret.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' }

/** What the log is written with. */
export function logOptions(level: LogLevel): LoggerOptions {
  return {
    level,
    redact,
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: pino.stdSerializers.err },
  }
}

/** The log of a process, on standard error. */
export async function openLog(level: LogLevel, format: LogFormat | undefined): Promise<Log> {
  const chosen = format ?? (process.stderr.isTTY ? 'pretty' : 'json')
  return adaptLogger(pino(logOptions(level), await openDestination(chosen)))
}
