import tailwindcss from '@tailwindcss/vite'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

/** Builds the page into `dist/`, from where the server reads it: `server/src/http/dashboard-routes.ts`. */
export default defineConfig({
  root: import.meta.dirname,
  plugins: [vue(), tailwindcss()],
  // Everything that the page needs is in its own files: its policy allows nothing inline and nothing from elsewhere.
  build: { outDir: 'dist', assetsInlineLimit: 0, modulePreload: false, target: 'es2022', reportCompressedSize: false },
  define: { __VUE_OPTIONS_API__: 'false', __VUE_PROD_DEVTOOLS__: 'false' },
  server: { proxy: proxied(process.env['KV_HTTP'] ?? 'http://127.0.0.1:8080') },
})

/** `npx vite` beside a running node, or the fixture, for work on the page. */
function proxied(target: string): Record<string, string> {
  return {
    '/feed': target,
    '/kv': target,
    '/locate': target,
    '/version': target,
    '/whoami': target,
    '/login': target,
    '/logout': target,
  }
}
