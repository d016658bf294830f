import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { installCommand, missingNpmPackages, missingPrograms, npmRefusal, peerPrograms, refusal } from './packages.js'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorumkv-packages-'))
})

afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

test('a program is there when some directory of the path has it and it may be run', async () => {
  const file = join(directory, 'redis-server')
  const path = ['', '/no/such/directory', directory].join(delimiter)
  expect(await missingPrograms(['redis', 'etcd'], path)).toEqual([peerPrograms.redis, peerPrograms.etcd])
  writeFileSync(file, '')
  chmodSync(file, 0o755)
  expect(await missingPrograms(['redis', 'etcd'], path)).toEqual([peerPrograms.etcd])
  expect(await missingPrograms(['redis'], `${file}${delimiter}/no/such/directory`)).toEqual([peerPrograms.redis])
})

test('who lacks a program is told the command that installs it, and the way around it', () => {
  expect(refusal([peerPrograms.etcd])).toBe(
    "etcd is not installed: `npm run bench:peers -- --install` installs Debian's etcd-server, " +
      'and --peers chooses what to compare with.',
  )
  expect(refusal([peerPrograms.redis, peerPrograms.etcd])).toContain(
    "redis-server and etcd are not installed: `npm run bench:peers -- --install` installs Debian's redis-server and etcd-server",
  )
})

test('what the client of Redis is written with is missed where it is not installed, and told what to do', () => {
  expect(missingNpmPackages(['redis', 'etcd'])).toEqual([])
  const denied: string[] = []
  const missing = missingNpmPackages(['redis', 'etcd'], (name) => denied.push(name) === 0)
  expect([missing, denied]).toEqual([['ioredis'], ['ioredis']])
  expect(npmRefusal(missing)).toBe(
    'the npm package ioredis cannot be found: `npm ci` in the directory of the project installs what its package-lock.json names.',
  )
})

test('nothing is installed but what is missing, and nobody is asked for a password', () => {
  const forRoot =
    'env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends etcd-server'
  expect(installCommand([peerPrograms.etcd], true).join(' ')).toBe(forRoot)
  expect(installCommand([peerPrograms.etcd], false).join(' ')).toBe(`sudo -n ${forRoot}`)
})
