/** An XML parser that is independent of the server. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { skipWithout } from './executables.js'

const skip = skipWithout('xmllint')

/** Fails the test if one of the texts is not well-formed XML 1.0. */
export function lintXml(t: Test, texts: readonly string[]): void {
  if (texts.length === 0) return
  if (skip !== false) {
    t.comment(`${texts.length} texts were not linted: ${skip}`)
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
