/** Content negotiation by `Accept`, the same for every address (RFC 9110 §12.5.1, native contract §9). */
import { LRUCache } from 'lru-cache'
import Negotiator from 'negotiator'

/** Characters of the header that are parsed; the rest is ignored. No real client sends more. */
const ACCEPT_CHARS_MAX = 2048
/** Limits of the cache of parsed headers. Most clients send one of a few headers; longer ones are parsed each time. */
const CACHE = { headers: 100, chars: 256 }

/** Every parameter of a media range except its weight. No form is distinguished by a parameter. */
const PARAMETERS = /;(?!\s*q=(?:0(?:\.\d*)?|1(?:\.0*)?|\.\d+)\s*(?:[;,]|$))(?:[^;,"]|"(?:\\.|[^"\\])*(?:"|$))*/gi

/** The forms (representations) of an address, by their media types. */
export class AcceptedForms<T> {
  /** The media types, the default one first. */
  readonly types: readonly string[]
  readonly #forms: ReadonlyMap<string, T>
  readonly #first: T
  readonly #parsed = new LRUCache<string, { form: T | undefined }>({ max: CACHE.headers })

  /** @param forms media types in lower case, each with its form; the first is the default */
  constructor(forms: readonly (readonly [type: string, form: T])[]) {
    this.#forms = new Map(forms)
    this.types = [...this.#forms.keys()]
    this.#first = (forms[0] as readonly [string, T])[1]
  }

  /**
   * Returns the form with the highest weight in the header. Among equal weights, a form that the header names precedes
   * one that only a wildcard covers; then the one named first; then the default form.
   * @returns the default form if the header is missing or empty; undefined if the header accepts no form
   */
  preferred(accept: string | undefined): T | undefined {
    if (accept === undefined || accept === '*/*') return this.#first
    const parsed = this.#parsed.get(accept)
    if (parsed !== undefined) return parsed.form
    const form = this.#parse(accept)
    if (accept.length <= CACHE.chars) this.#parsed.set(accept, { form })
    return form
  }

  #parse(accept: string): T | undefined {
    const text = shortened(accept).replace(PARAMETERS, '')
    if (/^[\s,]*$/.test(text)) return this.#first
    const [type] = new Negotiator({ headers: { accept: text } }).mediaTypes([...this.types])
    return type === undefined ? undefined : this.#forms.get(type)
  }
}

/** The header up to the limit, without the media range that the limit would cut in two. */
function shortened(accept: string): string {
  if (accept.length <= ACCEPT_CHARS_MAX) return accept
  return accept.slice(0, Math.max(0, accept.lastIndexOf(',', ACCEPT_CHARS_MAX)))
}
