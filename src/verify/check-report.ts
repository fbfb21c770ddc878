/** What the integrity check says of a directory. */

/** Where something is wrong: in one of the databases, or in the files beside them. */
export type CheckedPart = 'log' | 'witness' | 'index' | 'checkpoints'

export interface Disagreement {
  /** One of `disagreementKinds`. */
  code: string
  detail: string
  position?: number
  /** The last position, when it is about several. */
  last?: number
  stream?: string
}

/** All disagreements of one code. */
export interface DisagreementKind {
  code: string
  part: CheckedPart
  /** Disagreements; of a range of positions, each counts. */
  count: number
  /** What is wrong in all of them, for people. */
  meaning: string
  /** The positions of the log that they are about, as text: `3–7, 12`. The first twenty places are named. */
  positions?: string
  /** The code of the disagreement that these follow from. */
  follows?: string
}

/** Something that looks wrong, though nothing disagrees. */
export interface CheckWarning {
  /** `created-ahead`. */
  code: string
  detail: string
  /** Of the first event that it is about. */
  position: number
  events: number
  /** How far the last of them is ahead of this machine's clock. */
  seconds: number
}

export interface CheckReport {
  events: number
  streams: number
  /** The first of each kind, at most `limits.disagreements_shown_max`, causes first. */
  disagreements: Disagreement[]
  /** Every kind that was found, with how many there are; causes first. */
  kinds: DisagreementKind[]
  /** What helps, a sentence each, in the order in which it is to be done. */
  advice: string[]
  warnings: CheckWarning[]
}
