/** Figures beside their limits: printed as they come, and once more as a table. */
import { mkdirSync, writeFileSync } from 'node:fs'

export interface Figure {
  readonly what: string
  /** What was measured, with its unit. */
  readonly figure: string
  /** What it is compared with, measured in the same run; absent for figures that are only printed. */
  readonly limit?: string
  readonly ratio?: number
  /** The ratio, or with `atMost` the value, that must hold. */
  readonly wanted?: number
  readonly ok?: boolean
}

export class Report {
  readonly figures: Figure[] = []

  /** A rate against a rate measured in the same run. @param wanted least ratio; absent: only printed */
  rate(what: string, rate: number, limit: { name: string; rate: number }, unit: string, wanted?: number): void {
    const ratio = rate / limit.rate
    this.#add({
      what,
      figure: `${count(rate)} ${unit}`,
      limit: `${count(limit.rate)} ${limit.name}`,
      ratio,
      ...(wanted !== undefined && { wanted, ok: ratio >= wanted })
    })
  }

  /** A value that must stay below a bound. */
  atMost(what: string, value: number, bound: number, unit: string): void {
    this.#add({ what, figure: `${number(value)} ${unit}`, limit: `at most ${bound} ${unit}`, ok: value <= bound })
  }

  /** A figure that is only printed. */
  note(what: string, figure: string, beside?: string): void {
    this.#add({ what, figure, ...(beside !== undefined && { limit: beside }) })
  }

  /** The table as Markdown, as it stands in docs/benchmarks.md. */
  table(): string {
    const rows = this.figures.map(({ what, figure, limit = '', ratio, wanted, ok }) => [
      what,
      figure,
      limit,
      ratio === undefined ? '' : ratio.toFixed(2),
      wanted === undefined ? '' : String(wanted),
      ok === undefined ? '' : ok ? 'holds' : 'SHORT'
    ])
    const lines = [
      ['work', 'figure', 'beside', 'ratio', 'at least', ''],
      ['---', '---', '---', '---', '---', '---'],
      ...rows
    ]
    return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
  }

  save(path: string): void {
    mkdirSync(new URL('.', `file://${path}`), { recursive: true })
    writeFileSync(path, `${JSON.stringify(this.figures, null, 2)}\n`)
  }

  #add(figure: Figure): void {
    this.figures.push(figure)
    const { what, limit, ratio, wanted, ok } = figure
    const beside = limit === undefined ? '' : ` · ${limit}`
    const times = ratio === undefined ? '' : ` · ratio ${ratio.toFixed(2)}`
    const verdict = ok === undefined ? '' : ok ? ' · holds' : ' · SHORT'
    console.log(
      `${what}: ${figure.figure}${beside}${times}${wanted === undefined ? '' : ` (at least ${wanted})`}${verdict}`
    )
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)] as number
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

function number(value: number): string {
  return value >= 100 ? count(value) : value.toPrecision(3)
}
