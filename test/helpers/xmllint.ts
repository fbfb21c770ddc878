/** An XML parser that is independent of the server. */
import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

const isInstalled = spawnSync('xmllint', ['--version']).status === 0

/** Fails the test if one of the texts is not well-formed XML 1.0. */
export function lintXml(t: Test, texts: readonly string[]): void {
  if (texts.length === 0) return
  if (!isInstalled) {
    t.comment('xmllint is not installed: pages were parsed, not linted')
    return
  }
  const folder = t.testdir({})
  const files = texts.map((text, i) => {
    const file = join(folder, `${i}.xml`)
    writeFileSync(file, text)
    return file
  })
  t.doesNotThrow(
    () => execFileSync('xmllint', ['--noout', '--nonet', ...files], { stdio: 'pipe' }),
    `xmllint accepts all ${texts.length}`
  )
}
