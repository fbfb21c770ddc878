/** What the integrity check says of a directory. */

export interface Disagreement {
  /** `record-missing`, `record-damaged`, `head-behind-witness`, `created-goes-back`, `index-…`. */
  code: string
  detail: string
  position?: number
  stream?: string
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
  disagreements: Disagreement[]
  warnings: CheckWarning[]
}
