import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

// Tests run on the sources; only tests/e2e starts what `npm run build` made.
const alias = [
  { find: /^@quorumkv\/proto\/(framing|secret|tokens)$/, replacement: `${at('./proto/src')}/$1.ts` },
  { find: '@quorumkv/proto/framing', replacement: at('./proto/src/framing.ts') },
  { find: '@quorumkv/proto/tls-errors', replacement: at('./proto/src/tls-errors.ts') },
  { find: /^@quorumkv\/proto\/(.*)$/, replacement: `${at('./proto/gen')}/$1.ts` },
  { find: /^@quorumkv\/internal\/(.*)$/, replacement: `${at('./internal')}/$1/index.ts` },
  { find: '@quorumkv/cli/bench', replacement: at('./client-sdk/cli/src/bench/index.ts') },
  { find: '@quorumkv/client/otel', replacement: at('./client-sdk/src/otel.ts') },
  { find: '@quorumkv/client', replacement: at('./client-sdk/src/index.ts') },
  { find: '@quorumkv/testing', replacement: at('./tests/testing/src/index.ts') },
  { find: '@quorumkv/keyv', replacement: at('./client-sdk/keyv/src/index.ts') },
  { find: '@quorumkv/server/local', replacement: at('./server/src/local/index.ts') },
  { find: '@quorumkv/server/otel', replacement: at('./server/src/otel.ts') },
  { find: '@quorumkv/server', replacement: at('./server/src/index.ts') },
]

/** @param isolate - whether each file gets a process of its own, and with it all that it imports anew */
const project = (name: string, include: string[], testTimeoutMs: number, isolate = true) => ({
  resolve: { alias },
  test: {
    name,
    include,
    exclude: ['**/dist/**', '**/node_modules/**'],
    testTimeout: testTimeoutMs,
    hookTimeout: 60_000,
    isolate,
  },
})

export default defineConfig({
  test: {
    // One more than the cores of a small machine: many tests wait for nodes that run in processes of their own.
    maxWorkers: 3,
    coverage: {
      include: ['internal/**', 'server/src/**', 'client-sdk/**'],
      exclude: ['**/*.test.ts', '**/gen/**', '**/dist/**'],
    },
    projects: [
      project(
        'unit',
        [
          'internal/**/*.test.ts',
          'proto/src/**/*.test.ts',
          'server/src/**/*.test.ts',
          'server/dashboard/src/**/*.test.ts',
          'client-sdk/**/*.test.ts',
          'bench/src/**/*.test.ts',
          'tests/*.test.ts',
          'tests/testing/**/*.test.ts',
        ],
        30_000,
      ),
      project('sim', ['tests/sim/**/*.test.ts', 'tests/story/**/*.test.ts'], 120_000, false),
      project('crash', ['tests/crash/**/*.test.ts'], process.env['KV_CRASH'] === 'long' ? 3_600_000 : 120_000),
      project('fuzz', ['tests/fuzz/**/*.test.ts'], 120_000),
      project('flood', ['tests/flood/**/*.test.ts'], 120_000),
      project('e2e', ['tests/e2e/**/*.test.ts'], 120_000),
      // The first may have to install a browser.
      project('browser', ['tests/browser/**/*.test.ts'], 420_000),
    ],
  },
})
