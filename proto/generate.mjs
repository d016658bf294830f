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
  ],
  { cwd: here, stdio: 'inherit' },
)
writeFileSync(stamp, fingerprint)
