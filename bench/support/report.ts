/** Figures beside their limits: printed when they are measured, printed as a table at the end, and stored as JSON. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { median } from './rounds.js'
import type { Rate } from './usage.js'

interface Figure {
  /** Line of work it belongs to. */
  readonly id: string
  readonly what: string
  /** The figure with its unit. */
  readonly figure: string
  /** The limit measured in the same run, or a bound. */
  readonly limit?: string
  readonly ratio?: number
  /** Least and greatest ratio of a single round. */
  readonly range?: readonly [number, number]
  /** The required ratio, or the aim. */
  readonly wanted?: string
  readonly verdict?: 'ok' | 'SHORT' | 'below the aim'
  /** Microseconds of CPU each, of subject and limit. */
  readonly cpu?: readonly [number, number]
  /** Rates of both, if the figure is processor time. */
  readonly rates?: string
  /** Every round's rates, of subject and limit. */
  readonly rounds?: readonly (readonly number[])[]
  /** Every round's microseconds of CPU each, of subject and limit. */
  readonly cpuRounds?: readonly (readonly number[])[]
  /** The figure as numbers. */
  readonly values?: object
}

export interface Comparison {
  readonly what: string
  readonly unit: string
  /** One each round. */
  readonly rates: readonly Rate[]
  /** The same for the limit, round by round. */
  readonly limit: { readonly name: string; readonly rates: readonly Rate[] }
  /** Least ratio. With `aim`, it is not required. */
  readonly wanted?: number
  readonly aim?: number
}

/** A build compared with another one. */
export interface Against {
  readonly what: string
  /** Of the rates. */
  readonly unit: string
  /** One each round. */
  readonly rates: readonly Rate[]
  readonly other: { readonly name: string; readonly rates: readonly Rate[] }
}

/** The greatest accepted ratio to the processor time of another build. */
const MOST = 1.05

export class Report {
  readonly #figures: Figure[] = []

  /** Rates beside rates of the same rounds. The ratio is the median of the rounds' ratios. */
  ratio(id: string, { what, unit, rates, limit, wanted, aim }: Comparison): void {
    const own = rates.map(({ rate }) => rate)
    const others = limit.rates.map(({ rate }) => rate)
    const ratios = own.map((rate, round) => rate / (others[round] as number))
    const ratio = median(ratios)
    const goals = [...(wanted === undefined ? [] : [`${wanted}`]), ...(aim === undefined ? [] : [`aim ${aim}`])]
    this.#add({
      id,
      what,
      figure: `${count(median(own))} ${unit}`,
      limit: `${count(median(others))} ${limit.name}`,
      ratio,
      range: [Math.min(...ratios), Math.max(...ratios)],
      ...(goals.length > 0 && { wanted: goals.join(', '), verdict: verdictOf(ratio, wanted, aim) }),
      cpu: [median(rates.map(({ cpu }) => cpu)), median(limit.rates.map(({ cpu }) => cpu))],
      rounds: [own, others]
    })
  }

  /**
   * Reports the processor time of two builds, which must not rise by more than 5 %. The ratio is the median of the
   * rounds.
   */
  against(id: string, { what, unit, rates, other }: Against): void {
    const cpu = rates.map((round) => round.cpu)
    const others = other.rates.map((round) => round.cpu)
    const ratios = cpu.map((each, round) => each / (others[round] as number))
    const ratio = median(ratios)
    const bothRates = [rates, other.rates].map((rounds) => rounds.map(({ rate }) => rate))
    this.#add({
      id,
      what,
      figure: `${inMicroseconds(median(cpu), 3)} µs`,
      limit: `${inMicroseconds(median(others), 3)} µs ${other.name}`,
      ratio,
      range: [Math.min(...ratios), Math.max(...ratios)],
      rates: `${bothRates.map((rounds) => amount(median(rounds))).join(' : ')} ${unit}`,
      wanted: `at most ${MOST}`,
      verdict: ratio <= MOST ? 'ok' : 'SHORT',
      rounds: bothRates,
      cpuRounds: [cpu, others]
    })
  }

  /** A value that must stay below a bound. */
  below(id: string, { what, value, bound, unit }: { what: string; value: number; bound: number; unit: string }): void {
    const shown = value >= 100 ? count(value) : value.toPrecision(3)
    const verdict = value < bound ? 'ok' : 'SHORT'
    this.#add({ id, what, figure: `${shown} ${unit}`, wanted: `under ${bound} ${unit}`, verdict })
  }

  /** Reports several figures with bounds that the caller has checked. @param values the figures, stored as JSON */
  bounded(
    id: string,
    {
      what,
      figure,
      bounds,
      holds,
      values
    }: { what: string; figure: string; bounds: string; holds: boolean; values: object }
  ): void {
    this.#add({ id, what, figure, wanted: bounds, verdict: holds ? 'ok' : 'SHORT', values })
  }

  /** A figure that is only printed. */
  note(id: string, what: string, figure: string, beside?: string): void {
    this.#add({ id, what, figure, ...(beside !== undefined && { limit: beside }) })
  }

  /** Returns the table as Markdown, as in docs/benchmarks.md. */
  table(): string {
    const rows = this.#figures.map(({ id, what, figure, limit = '', ratio, range, cpu, rates, wanted, verdict }) => [
      id,
      what,
      figure,
      limit,
      ratio === undefined ? '' : `${ratio.toFixed(2)} (${range?.map((one) => one.toFixed(2)).join('–')})`,
      rates ?? (cpu === undefined ? '' : bothInMicroseconds(cpu)),
      wanted ?? '',
      verdict ?? ''
    ])
    const byTime = this.#figures.some(({ rates }) => rates !== undefined)
    const columns = byTime ? ['CPU each', 'beside', 'ratio', 'rates'] : ['figure', 'beside', 'ratio', 'CPU each']
    const lines = [['id', 'what', ...columns, 'wanted', ''], ['--', '--', '--', '--', '--', '--', '--', '--'], ...rows]
    return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
  }

  /** Returns one sentence: how many of the required figures hold. */
  summary(): string {
    const judged = this.#figures.filter(({ verdict }) => verdict !== undefined)
    const short = judged.filter(({ verdict }) => verdict === 'SHORT')
    const names = short.map(({ id, what }) => `${id} (${what})`)
    return short.length === 0
      ? `All ${judged.length} figures hold.`
      : `${judged.length - short.length} of ${judged.length} figures hold; short: ${names.join(', ')}.`
  }

  save(path: string, run: object): void {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, `${JSON.stringify({ ...run, figures: this.#figures }, null, 2)}\n`)
  }

  #add(figure: Figure): void {
    this.#figures.push(figure)
    const { id, what, limit, ratio, range, cpu, rates, wanted, verdict } = figure
    const parts = [`${id.padEnd(8)} ${what}: ${figure.figure}`]
    if (limit !== undefined) parts.push(limit)
    if (ratio !== undefined) parts.push(`ratio ${ratio.toFixed(2)}`)
    if (range !== undefined && rates !== undefined) parts.push(range.map((one) => one.toFixed(2)).join('–'), rates)
    if (cpu !== undefined) parts.push(`CPU ${bothInMicroseconds(cpu)}`)
    if (wanted !== undefined) parts.push(/^\d/.test(wanted) ? `wanted ${wanted}` : wanted)
    if (verdict !== undefined) parts.push(verdict)
    console.log(parts.join(' · '))
  }
}

function verdictOf(ratio: number, wanted = 0, aim = 0): 'ok' | 'SHORT' | 'below the aim' {
  if (ratio < wanted) return 'SHORT'
  return ratio < aim ? 'below the aim' : 'ok'
}

/** CPU of subject and limit. */
function bothInMicroseconds(cpu: readonly [number, number]): string {
  return `${cpu.map((each) => inMicroseconds(each, 2)).join(' : ')} µs`
}

function inMicroseconds(each: number, digits: number): string {
  return each < 100 ? each.toPrecision(digits) : count(each)
}

/** A rate, which may be below one. */
function amount(value: number): string {
  return value < 100 ? value.toPrecision(3) : count(value)
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
