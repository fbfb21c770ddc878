/** The report of the integrity check. */

/** The part of the directory that a disagreement is about. */
export type CheckedPart = 'log' | 'witness' | 'index' | 'checkpoints'

export interface Disagreement {
  /** One of `disagreementKinds`. */
  code: string
  detail: string
  position?: number
  /** Last position of a range that begins with `position`. */
  last?: number
  stream?: string
}

/** Summary of all disagreements with one code. */
export interface DisagreementKind {
  code: string
  part: CheckedPart
  /** Number of disagreements. Each position of a range counts as one. */
  count: number
  /** Description of the kind, for the operator. */
  meaning: string
  /** Affected positions of the log, as text: `3–7, 12`. The first 20 ranges are shown. */
  positions?: string
  /** Code of the kind of disagreement that caused this kind. */
  follows?: string
}

/** A suspicious fact that is no disagreement. */
export interface CheckWarning {
  /** `created-ahead`. */
  code: string
  detail: string
  /** Position of the first affected event. */
  position: number
  /** Number of affected events. */
  events: number
  /** How far the latest of them is ahead of this machine's clock. */
  seconds: number
}

export interface CheckReport {
  events: number
  streams: number
  /**
   * The first disagreements of each kind, at most `limits.disagreements_shown_max` a kind. Causes come before effects.
   */
  disagreements: Disagreement[]
  /** All kinds that were found. Causes come before effects. */
  kinds: DisagreementKind[]
  /** Advice, a sentence each, in the order in which the operator should follow it. */
  advice: string[]
  warnings: CheckWarning[]
}
