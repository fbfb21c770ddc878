/** A real browser that opens the page which the server sends to browsers. */
import { type Browser, chromium, type Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { findExecutable } from './executables.js'

const executable = findExecutable('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
let browser: Promise<Browser> | undefined

/** The reason to skip a test because there is no Chromium. With CI set nothing is skipped: the test fails instead. */
export const skip =
  executable === undefined && process.env.CI === undefined && 'needs a Chromium in the PATH (apt-get install chromium)'

/**
 * Opens a page and collects its errors and warnings. Wait with locators: they wait for an element, not for a time.
 * @param httpCredentials what the user enters when the browser asks for credentials
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

/** Waits until the status of the page contains these words. */
export async function untilStatus(page: Page, words: string): Promise<void> {
  await page.locator('#status', { hasText: words }).waitFor()
}

/** Waits until the page shows all events and follows new ones. */
export async function untilLive(page: Page): Promise<void> {
  await page.locator('#status', { hasText: /^live$/ }).waitFor()
}

/** Waits until another event is at the top. */
export async function untilNewer(page: Page, number: number): Promise<void> {
  await page.locator(`#events > li:first-child:not([data-number="${number}"])`).waitFor()
}

/** Waits until an event is shown. @returns the numbers of all shown events, from the top */
export async function shownWith(page: Page, number: number): Promise<number[]> {
  await page.locator(`#events > li[data-number="${number}"]`).first().waitFor()
  const rows = page.locator('#events > li')
  return rows.evaluateAll((all) => all.map((row) => Number(row.getAttribute('data-number'))))
}

async function launch(): Promise<Browser> {
  if (executable === undefined) throw new Error('there is no Chromium in the PATH')
  // Containers have no user namespaces for the sandbox, and the browser opens only pages of the tested server.
  const launched = await chromium.launch({ executablePath: executable, args: ['--no-sandbox'] })
  t.teardown(() => launched.close())
  return launched
}
