/** A real browser on the page that the server gives to browsers. */
import { type Browser, chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { findExecutable } from './executables.js'

const executable = findExecutable('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
let browser: Promise<Browser> | undefined

/** What a test says that cannot be run here; where everything must be there, it fails instead. */
export const skip =
  executable === undefined && process.env.CI === undefined && 'needs a Chromium in the PATH (apt-get install chromium)'

/**
 * A page, and what it complained of. Waiting is done by its locators: they wait for what is there, not for a time.
 * @param httpCredentials what the user types when the browser asks
 */
export async function openPage(
  t: Test,
  url: string,
  httpCredentials?: { username: string; password: string }
): Promise<{ page: Page; complaints: string[] }> {
  browser ??= launch()
  const page = await (await browser).newPage(httpCredentials && { httpCredentials })
  t.teardown(() => page.close())
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  await page.goto(url)
  return { page, complaints }
}

/** Waits until the page says so. */
export async function untilSaid(page: Page, words: string): Promise<void> {
  await page.locator('#status', { hasText: words }).waitFor()
}

/** Waits until the page has all there is, and goes on with what comes. */
export async function untilLive(page: Page): Promise<void> {
  await page.locator('#status', { hasText: /^live$/ }).waitFor()
}

/** Waits until an event stands at the top that is not this one. */
export async function untilNewer(page: Page, number: number): Promise<void> {
  await page.locator(`#events > li:first-child:not([data-number="${number}"])`).waitFor()
}

/** Waits until an event is among those that are shown. @returns the numbers of all, from the top */
export async function shownWith(page: Page, number: number): Promise<number[]> {
  await page.locator(`#events > li[data-number="${number}"]`).first().waitFor()
  const rows = page.locator('#events > li')
  return rows.evaluateAll((all) => all.map((row) => Number(row.getAttribute('data-number'))))
}

async function launch(): Promise<Browser> {
  if (executable === undefined) throw new Error('there is no Chromium in the PATH')
  // Containers have no user namespaces for its sandbox; it opens nothing but our own pages.
  const launched = await chromium.launch({ executablePath: executable, args: ['--no-sandbox'] })
  t.teardown(() => launched.close())
  return launched
}
