/** The options for opening an index. */
import type { Family } from '../log/format.js'
import type { CacheSizes } from '../memory/cache-sizes.js'
import type { ListName } from './posting.js'

export interface PostingsOptions {
  directory: string
  compression: boolean
  /** The rule, as text, by which a family is built from the records. A family with another rule is rebuilt. */
  rules?: Partial<Record<Family, string>> | undefined
  /** Name prefixes whose lists are counted, so that `all` detects a list that LevelDB does not return. */
  counted?: readonly ListName[] | undefined
  /** Default: the sizes for the default memory budget. */
  caches?: CacheSizes | undefined
  /** When aborted, opening fails with the signal's reason. The next opening continues the interrupted work. */
  signal?: AbortSignal | undefined
}
