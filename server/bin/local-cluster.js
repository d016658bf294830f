#!/usr/bin/env node
// Three nodes on this machine for `./run.sh`: starts them, shows a key written through one and read through another,
// and stops them all on Ctrl-C. The nodes run in process groups of their own, so that a Ctrl-C in the terminal reaches
// this program only, and each node gets exactly one signal.
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const bin = (name) => join(root, 'node_modules/.bin', name)
const data = process.env.KV_DATA ?? join(root, 'data')
const ports = (process.env.KV_PORTS ?? '50051,50052,50053').split(',').map(Number)
// Empty: no HTTP.
const httpText = process.env.KV_HTTP_PORTS ?? ports.map((port) => port + 10).join(',')
const httpPorts = httpText === '' ? [] : httpText.split(',').map(Number)
const readyWithinMs = 60_000
const stopWithinMs = 20_000

const addresses = ports.map((port) => `127.0.0.1:${port}`)
const urls = httpPorts.map((port) => `http://127.0.0.1:${port}`)
const nodes = []
let stopping = false

function startNode(index) {
  const id = `n${index + 1}`
  const logPath = join(data, `${id}.log`)
  // The log of an earlier run may tell of a crash, or belong to a node that still runs.
  const log = openSync(logPath, 'a', 0o600)
  const logStart = fstatSync(log).size
  const flags = ['--id', id, '--addr', addresses[index], '--peers', addresses.join(','), '--data-dir', join(data, id)]
  if (httpPorts.length > 0) flags.push('--http-addr', `127.0.0.1:${httpPorts[index]}`)
  const child = spawn(process.execPath, [bin('kv-server'), ...flags, '--log-format', 'json'], {
    stdio: ['ignore', log, log],
    detached: true,
    // So that glibc gives the memory of freed chunks back (README.md, "Running nodes yourself").
    env: { MALLOC_MMAP_THRESHOLD_: '524288', ...process.env },
  })
  closeSync(log)
  const node = { id, address: addresses[index], url: urls[index], logPath, logStart, child, exit: undefined }
  node.exited = new Promise((resolve) => {
    child.on('exit', (code, signal) => {
      node.exit = code ?? signal
      resolve()
    })
  })
  nodes.push(node)
}

function isReady({ logPath, logStart }) {
  return readFileSync(logPath).subarray(logStart).includes('"msg":"ready"')
}

async function waitUntilReady() {
  const deadline = Date.now() + readyWithinMs
  while (!nodes.every(isReady)) {
    const dead = nodes.find(({ exit }) => exit !== undefined)
    if (dead !== undefined) {
      console.error(`${dead.id} ended with ${dead.exit}; its log, ${relative(process.cwd(), dead.logPath)}, ends with:`)
      console.error(readFileSync(dead.logPath, 'utf8').trimEnd().split('\n').slice(-5).join('\n'))
      await stopAll(1)
    }
    if (Date.now() > deadline) {
      console.error(
        `the nodes were not ready within ${readyWithinMs / 1000} s; see ${relative(process.cwd(), data)}/*.log`,
      )
      await stopAll(1)
    }
    await sleep(50)
  }
}

function show(...command) {
  console.log(`\n$ node_modules/.bin/kv ${command.map((word) => (/\s/.test(word) ? `'${word}'` : word)).join(' ')}`)
  const { status } = spawnSync(process.execPath, [bin('kv'), ...command], { stdio: 'inherit' })
  if (process.stdout.isTTY !== true) console.log()
  return status
}

async function stopAll(status) {
  if (stopping) return
  stopping = true
  for (const { child, exit } of nodes) if (exit === undefined) child.kill('SIGTERM')
  const late = sleep(stopWithinMs, 'late', { ref: false })
  if ((await Promise.race([Promise.all(nodes.map(({ exited }) => exited)), late])) === 'late') {
    for (const { child, exit } of nodes) if (exit === undefined) child.kill('SIGKILL')
    await Promise.all(nodes.map(({ exited }) => exited))
  }
  console.log('all nodes have stopped')
  process.exit(status)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (!stopping) console.log('\nstopping ...')
    void stopAll(0)
  })
}

const arePorts = (list) => list.every((port) => Number.isInteger(port) && port > 0 && port < 65_536)
if (ports.length < 1 || !arePorts(ports)) {
  console.error(`KV_PORTS must be a list of ports, 1 to 65535, got ${process.env.KV_PORTS}`)
  process.exit(2)
}
if (!arePorts(httpPorts) || (httpPorts.length > 0 && httpPorts.length !== ports.length)) {
  console.error(`KV_HTTP_PORTS must be a list of ports, 1 to 65535, one for each node, or empty, got ${httpText}`)
  process.exit(2)
}
try {
  mkdirSync(data, 0o700)
} catch (error) {
  if (error.code !== 'EEXIST') {
    console.error(`KV_DATA: cannot make ${data}: ${error.message}`)
    process.exit(2)
  }
}
for (const index of ports.keys()) startNode(index)
await waitUntilReady()
for (const { id, address, url, logPath, child } of nodes) {
  console.log(
    `${id} is ready at ${address}${url === undefined ? '' : ` and ${url}`} (pid ${child.pid}, log ${relative(process.cwd(), logPath)})`,
  )
}
const [first, last] = [addresses.at(0), addresses.at(-1)]
const greeting = `written through ${nodes[0].id} at ${new Date().toISOString()}`
if (show('--endpoints', last, 'get', 'hello') === 0) console.log('(the key of an earlier run is still there)')
if (show('--endpoints', first, 'put', 'hello', greeting) !== 0) await stopAll(1)
if (show('--endpoints', last, 'get', 'hello') !== 0) await stopAll(1)
if (show('--endpoints', last, 'status') !== 0) await stopAll(1)
if (urls.length > 0) {
  console.log(`\nthe dashboard: ${urls[0]}/`)
  console.log(`over HTTP: curl ${urls.at(-1)}/kv/hello (what else there is: ${urls[0]}/openapi.json)`)
}
console.log('\nthe cluster is up; Ctrl-C stops it')
for (const node of nodes) {
  void node.exited.then(() => {
    if (!stopping) console.log(`${node.id} ended with ${node.exit}; the others go on`)
  })
}
await Promise.all(nodes.map(({ exited }) => exited))
await stopAll(0)
