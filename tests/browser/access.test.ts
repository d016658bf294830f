import { newToken } from '@quorumkv/proto/tokens'
import type { Page } from 'playwright-core'
import { expect, test } from 'vitest'
import { FixtureCluster } from '../../server/dashboard/fixture/cluster.js'
import { type Fixture, startFixture } from '../../server/dashboard/fixture/server.js'
import { demandingAccess, grantOf, TestAuthFile } from '../../server/src/access/access.test-support.js'
import { fakeTopology } from '../../server/src/calls/fake-node.test-support.js'
import { TestBrowser } from './browser.js'

/* The built page, of a node that asks who calls. */

const [reader, writer] = [newToken('reader'), newToken('writer')]

/** As the members would have agreed on it. */
function grant(fixture: Fixture, revision: number, ...names: readonly ('reader' | 'writer')[]): void {
  const grants = names.map((name) =>
    name === 'reader' ? grantOf(reader, name, 'read', ['app/']) : grantOf(writer, name, 'write'),
  )
  fixture.node.topology = { ...fakeTopology(3), featureLevel: 2, access: { revision, grants } }
}

async function signIn(page: Page, token: string): Promise<void> {
  await page.getByLabel('Token').fill(token)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

const live = (page: Page): Promise<void> => page.locator('[data-test="link"]').filter({ hasText: 'tells' }).waitFor()

/** Whatever a script of the page, or who looks over a shoulder, could find of a token. */
async function visible(page: Page): Promise<string> {
  return String(
    await page.evaluate(`JSON.stringify([
      document.documentElement.outerHTML, document.cookie, location.href, history.state,
      { ...localStorage }, { ...sessionStorage },
      [...document.querySelectorAll('input')].map(({ value }) => value),
      performance.getEntries().map(({ name }) => name)])`),
  )
}

test('a page asks for a token once, keeps it nowhere, and offers what its user may do', async (context) => {
  await using browser = await TestBrowser.launch(context)
  using file = new TestAuthFile()
  await using fixture = await startFixture(new FixtureCluster(3), 0, demandingAccess(file))
  grant(fixture, 1, 'reader', 'writer')
  await using open = await browser.open(`${fixture.url}/#/keys`)
  const { page } = open
  await page.locator('[data-test="sign-in"]').waitFor()
  await open.shoot('sign-in')
  expect(open.troubles).toEqual([])
  await signIn(page, newToken('reader'))
  await page.locator('[data-test="sign-in-trouble"]', { hasText: 'does not know this token' }).waitFor()
  // The browser says by itself that it was refused.
  expect(open.troubles.splice(0)).toHaveLength(1)

  await signIn(page, reader)
  await live(page)
  expect(await page.locator('[data-test="who"]').textContent()).toContain('reader may read')
  const [cookie] = await page.context().cookies()
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict', path: '/', expires: -1 })
  expect(cookie!.value).not.toContain(reader.slice(-43))
  expect(await visible(page)).not.toMatch(/qkv_[a-z]|kv-login/)
  await page.getByLabel('Key', { exact: true }).fill('app/1')
  await page.locator('[data-test="needs-role"]').waitFor()
  expect(await page.getByRole('button', { name: 'Put' }).isDisabled()).toBe(true)
  expect(await page.getByRole('button', { name: 'Delete' }).isDisabled()).toBe(true)
  expect(await page.getByLabel('Prefix', { exact: true }).inputValue()).toBe('app/')
  await open.shoot('signed-in')

  await page.reload()
  await live(page)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.locator('[data-test="sign-in"]', { hasText: 'You are signed out.' }).waitFor()
  expect(await page.context().cookies()).toEqual([])

  await signIn(page, writer)
  await live(page)
  await page.getByLabel('Key', { exact: true }).fill('app/1')
  await page.getByLabel('Value', { exact: true }).fill('one')
  await page.getByRole('button', { name: 'Put' }).click()
  await page.locator('[data-test="result"]', { hasText: 'Written' }).waitFor()
  expect(fixture.node.records.size).toBe(1)
  expect(open.troubles).toEqual([])
})

test('a page whose user is revoked stops at once, and says so', async (context) => {
  await using browser = await TestBrowser.launch(context)
  using file = new TestAuthFile()
  await using fixture = await startFixture(new FixtureCluster(3), 0, demandingAccess(file))
  grant(fixture, 1, 'reader', 'writer')
  await using open = await browser.open(fixture.url)
  const { page } = open
  await signIn(page, writer)
  await live(page)
  grant(fixture, 2, 'reader')
  await page.locator('[data-test="sign-in"]', { hasText: 'not signed in any more' }).waitFor()
  expect(fixture.feed.streams).toBe(0)
  expect(await page.locator('[data-node]').count()).toBe(0)
})

test('a hostile name of a principal, or prefix, is text and nothing else', async (context) => {
  await using browser = await TestBrowser.launch(context)
  using file = new TestAuthFile()
  await using fixture = await startFixture(new FixtureCluster(3), 0, demandingAccess(file))
  grant(fixture, 1, 'reader')
  await using open = await browser.open(`${fixture.url}/#/keys`)
  const { page } = open
  const hostile = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'
  // No node would take such a name; that it cannot hurt must not depend on that.
  await page.route('**/login', async (route) => {
    const response = await route.fetch()
    const json = { ...(await response.json()) }
    json.principal = { ...json.principal, name: hostile, prefixes: [{ prefix: `" autofocus ${hostile}` }] }
    await route.fulfill({ response, json })
  })
  await signIn(page, reader)
  await page.locator('[data-test="who"]', { hasText: '<img src=x' }).waitFor()
  await page.waitForTimeout(300)
  expect(await page.evaluate('window.hurt')).toBeUndefined()
  expect(await page.locator('[data-test="who"] img, [data-test="who"] script').count()).toBe(0)
})
