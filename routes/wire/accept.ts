/** What `Accept` asks for: one reading of it for every address (RFC 9110 §12.5.1, native contract §9). */
import { LRUCache } from 'lru-cache'
import Negotiator from 'negotiator'

/** A longer header is read as far as this: nothing that is worth asking for stands behind it. */
const ACCEPT_CHARS_MAX = 2048
/** Most callers send one of a few headers, which are read once. Longer ones are read each time. */
const KEPT = { headers: 100, chars: 256 }

/** Every parameter of a media range but a weight. Here no parameter tells one form from another. */
const PARAMETERS = /;(?!\s*q=(?:0(?:\.\d*)?|1(?:\.0*)?|\.\d+)\s*(?:[;,]|$))(?:[^;,"]|"(?:\\.|[^"\\])*(?:"|$))*/gi

/** The forms of an address, by the media types that ask for them. */
export class AcceptedForms<T> {
  /** The media types, the usual one first. */
  readonly types: readonly string[]
  readonly #forms: ReadonlyMap<string, T>
  readonly #first: T
  readonly #known = new LRUCache<string, { form: T | undefined }>({ max: KEPT.headers })

  /** @param forms media types in lower case, each with the form that it asks for; the first is the usual one */
  constructor(forms: readonly (readonly [type: string, form: T])[]) {
    this.#forms = new Map(forms)
    this.types = [...this.#forms.keys()]
    this.#first = (forms[0] as readonly [string, T])[1]
  }

  /**
   * The form to answer with: the one with the highest weight. Among equals a form that is named comes before one that
   * only a wildcard covers, then the one that is named first, then the usual one.
   * @returns the usual form when the header is missing or empty; undefined when the header accepts no form
   */
  preferred(accept: string | undefined): T | undefined {
    if (accept === undefined || accept === '*/*') return this.#first
    const known = this.#known.get(accept)
    if (known !== undefined) return known.form
    const form = this.#read(accept)
    if (accept.length <= KEPT.chars) this.#known.set(accept, { form })
    return form
  }

  #read(accept: string): T | undefined {
    const text = shortened(accept).replace(PARAMETERS, '')
    if (/^[\s,]*$/.test(text)) return this.#first
    const [type] = new Negotiator({ headers: { accept: text } }).mediaTypes([...this.types])
    return type === undefined ? undefined : this.#forms.get(type)
  }
}

/** A header without the range that the limit cuts, and what follows. */
function shortened(accept: string): string {
  if (accept.length <= ACCEPT_CHARS_MAX) return accept
  return accept.slice(0, Math.max(0, accept.lastIndexOf(',', ACCEPT_CHARS_MAX)))
}
