import { Writable } from 'node:stream'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { adaptLogger, logOptions } from './logging.js'

test('keys and values do not get into the log, even where somebody hands them to it', () => {
  let written = ''
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      written += chunk.toString()
      done()
    },
  })
  const log = adaptLogger(pino(logOptions('debug'), sink))
  log.info('careless', { key: 'secret', record: { value: 'secret', version: 7 }, prefix: 'secret', node: 'n2' })
  log.error('failed', { error: new Error('words stay') })
  expect(written).not.toContain('secret')
  expect(written).toContain('"key":"[redacted]"')
  expect(written).toContain('"version":7')
  expect(written).toContain('words stay')
})
