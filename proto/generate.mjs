// Generates TypeScript from the schemas with the protoc that npm installed; writes proto/gen, which git ignores.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(here)
const require = createRequire(import.meta.url)
const schemas = ['kv/v1/kv.proto', 'kv/v1/cluster.proto', 'kv/peer/v1/messages.proto', 'kv/peer/v1/peer.proto']
/** The schema of grpc.health.v1 comes with the library of its name. */
const health = join(dirname(require.resolve('grpc-health-check/package.json')), 'proto')
const healthSchema = 'health/v1/health.proto'
const out = join(here, 'gen')
const stamp = join(out, '.stamp')
const sources = [...schemas.map((name) => join(here, name)), fileURLToPath(import.meta.url)]

const fingerprint = sources.map((file) => readFileSync(file, 'utf8')).join('\0')
try {
  if (readFileSync(stamp, 'utf8') === fingerprint) process.exit(0)
} catch (error) {
  if (error.code !== 'ENOENT') throw error
}

const protocPackage = dirname(require.resolve('protoc/package.json'))
const protoc = join(root, 'node_modules/.bin/protoc')
statSync(protoc)
rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
execFileSync(
  protoc,
  [
    `-I${here}`,
    `-I${health}`,
    `-I${join(protocPackage, 'include')}`,
    `--plugin=protoc-gen-ts_proto=${join(root, 'node_modules/.bin/protoc-gen-ts_proto')}`,
    `--ts_proto_out=${out}`,
    `--ts_proto_opt=${[
      'env=node',
      'esModuleInterop=true',
      'importSuffix=.js',
      'outputServices=grpc-js',
      'forceLong=bigint',
      'oneof=unions-value',
      'enumsAsLiterals=true',
      'removeEnumPrefix=true',
      'unrecognizedEnum=false',
      'outputJsonMethods=false',
      'outputPartialMethods=false',
      'useExactTypes=false',
    ].join(',')}`,
    ...schemas,
    healthSchema,
  ],
  { cwd: here, stdio: 'inherit' },
)

/** What a client that asks by reflection is told: the public services, each file that they need, as base64. */
const publicSchemas = ['kv/v1/kv.proto', 'kv/v1/cluster.proto']
const set = join(out, 'descriptors.bin')
execFileSync(
  protoc,
  [
    `-I${here}`,
    `-I${health}`,
    `-I${join(protocPackage, 'include')}`,
    '--include_imports',
    `--descriptor_set_out=${set}`,
    ...publicSchemas,
    healthSchema,
  ],
  { cwd: here, stdio: 'inherit' },
)
const files = [...filesOf(readFileSync(set))].map((file) => `  '${file.toString('base64')}',`)
rmSync(set)
const header = '/** FileDescriptorProtos of the public services and of what they import, as base64. */'
const declared = 'export const fileDescriptors: readonly string[] = ['
writeFileSync(join(out, 'descriptors.ts'), `${[header, declared, ...files, ']'].join('\n')}\n`)
writeFileSync(stamp, fingerprint)

/** The files of a FileDescriptorSet, each of which stands behind tag 10 and its length as a varint. */
function* filesOf(bytes) {
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at++] !== 10) throw new Error('protoc wrote no FileDescriptorSet')
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]
      length |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    yield bytes.subarray(at, at + length)
    at += length
  }
}
