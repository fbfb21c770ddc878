import type { FastifyRequest } from 'fastify'

/** The methods of each route, for CORS headers and for `Allow`. Filled while routes are registered. */
export class KnownMethods {
  readonly #byUrl = new Map<string, Set<string>>()
  readonly #texts = new Map<string, string>()
  #sealed = false

  /** Ignores all routes registered from now on: they only answer 405 and OPTIONS. */
  seal(): void {
    this.#sealed = true
  }

  add(url: string, methods: readonly string[]): void {
    if (this.#sealed) return
    const known = this.#byUrl.get(url) ?? new Set()
    for (const method of methods) known.add(method)
    this.#byUrl.set(url, known)
  }

  /** Returns the methods by route URL, in the order of registration. */
  entries(): IterableIterator<[string, ReadonlySet<string>]> {
    return this.#byUrl.entries()
  }

  /** Returns the methods of the matched route as text, e.g. `GET, POST, OPTIONS`. */
  of({ routeOptions: { url = '' } }: FastifyRequest): string {
    let text = this.#texts.get(url)
    if (text === undefined) {
      text = [...(this.#byUrl.get(url) ?? []), 'OPTIONS'].join(', ')
      this.#texts.set(url, text)
    }
    return text
  }
}
