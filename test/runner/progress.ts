/** What a run prints: a line per file as it ends, failures at once, and the slowest files at the end. */
import { stringify } from 'yaml'
import type { Failure, FileResult } from './test-process.js'

/** A file that takes longer stands out in its line. */
const SLOW_MS = 15_000
const SLOWEST_SHOWN = 5

export class Progress {
  readonly #total: number
  readonly #results: FileResult[] = []

  /** @param total how many files will be run */
  constructor(total: number) {
    this.#total = total
  }

  /** Prints a failure under the file and the tests that it stands in. */
  failed({ file, name, diagnostics }: Failure): void {
    const details =
      Object.keys(diagnostics).length === 0 ? '' : stringify(diagnostics).replaceAll(/^/gm, '    ').trimEnd()
    console.log(`✗ ${file} > ${name}${details === '' ? '' : `\n${details}`}`)
  }

  /** Prints the line of a file that has ended. */
  ended(result: FileResult): void {
    this.#results.push(result)
    const { file, passed, failed, milliseconds } = result
    const place = `${this.#results.length}/${this.#total}`.padStart(7)
    const mark = failed > 0 ? '✗' : '✓'
    const counted = failed > 0 ? `${passed} passed, ${failed} failed` : `${passed} passed`
    console.log(
      `${place} ${mark} ${file}  ${seconds(milliseconds)}${milliseconds > SLOW_MS ? ' (slow)' : ''}, ${counted}`
    )
  }

  /** Prints the slowest files and, last, `N passed, N failed`. @returns whether all passed and anything was run */
  summary(): boolean {
    const slowest = [...this.#results].sort((a, b) => b.milliseconds - a.milliseconds).slice(0, SLOWEST_SHOWN)
    if (this.#results.length > 1)
      console.log(`Slowest: ${slowest.map(({ file, milliseconds }) => `${file} ${seconds(milliseconds)}`).join(', ')}`)
    const sum = (count: 'passed' | 'failed' | 'skipped') =>
      this.#results.reduce((all, result) => all + result[count], 0)
    const [passed, failed, skipped] = [sum('passed'), sum('failed'), sum('skipped')]
    console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
    return failed === 0 && passed > 0
  }
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`
}
